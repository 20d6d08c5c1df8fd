/** The page of one exchange: rates, bindings as a picture both ways, what is scheduled. */
import { h } from '../dom.js';
import { exchangeName, path, query, remove } from '../api.js';
import { bindings } from '../bindings.js';
import { confirm } from '../dialog.js';
import { count, date, exchangeLabel, span } from '../format.js';
import { messageLine } from '../message.js';
import { amqpTable, card, empty, facts, head, tabs, when } from '../parts.js';
import { publish } from '../publishing.js';
import { go, link } from '../router.js';
import { historyOf } from '../settings.js';
import { rateChart } from './overview.js';
import { traits } from './exchanges.js';

const RATES = [
  ['Published to it', 'publish_in', 1],
  ['Into queues', 'publish_out', 2],
];

export const exchange = {
  title: ({ parts }) => exchangeLabel(parts[1]),
  start: () => ({ opened: new Set() }),
  reads: (context) => {
    const [vhost, name] = context.parts;
    const at = path('exchanges', vhost, exchangeName(name));
    const reads = { exchange: at + query(historyOf('msg_rates')) };
    if (context.fields.tab === 'scheduled') {
      reads.scheduled =
        `${path('leveret', 'exchanges', vhost, exchangeName(name))}/scheduled` +
        query({ count: 100, from: context.fields.from });
    } else {
      reads.outgoing = `${at}/bindings/source`;
      reads.incoming = `${at}/bindings/destination`;
    }
    return reads;
  },
  draw: (context) => when(context, 'exchange', (data) => page(context, data)),
};

function page(context, data) {
  const [vhost, name] = context.parts;
  const tab = context.fields.tab ?? 'overview';
  const delayed = data.scheduled !== undefined || data.type === 'x-delayed-message';
  return h(
    'div',
    null,
    head(
      exchangeLabel(name),
      [
        !data.internal &&
          h(
            'button',
            {
              key: 'publish',
              type: 'button',
              class: 'main',
              onclick: () => publish(vhost, name).then(context.refresh),
            },
            'Publish…',
          ),
        name !== '' &&
          !name.startsWith('amq.') &&
          h(
            'button',
            {
              key: 'delete',
              type: 'button',
              class: 'danger',
              onclick: () => drop(context, data),
            },
            'Delete…',
          ),
      ],
      ['Exchange in ', h('b', { class: 'name' }, vhost)],
    ),
    delayed &&
      tabs(
        tab,
        [
          ['overview', 'Overview'],
          ['scheduled', `Scheduled ${count(data.scheduled ?? 0)}`],
        ],
        (id) => link('exchanges', context.parts, id === 'overview' ? {} : { tab: id }),
      ),
    tab === 'scheduled' ? scheduled(context) : overview(context, data),
  );
}

function overview(context, data) {
  const [vhost, name] = context.parts;
  const { at } = context.read('exchange');
  return h(
    'div',
    { class: 'stack' },
    h(
      'div',
      { class: 'cards' },
      card('Message rates', rateChart(context, data.message_stats ?? {}, at, RATES)),
      card(
        'Exchange',
        facts([
          ['Features', traits(data)],
          ['Policy', data.policy ?? 'none'],
          ['Made by', data.user_who_performed_action],
        ]),
        h('h3', null, 'Arguments'),
        amqpTable(data.arguments),
      ),
    ),
    h('h2', null, 'Bindings'),
    name === '' &&
      h(
        'p',
        { class: 'note' },
        'Every queue is bound to the default exchange by its own name. ' +
          'These bindings are not drawn, and cannot be taken away.',
      ),
    when(context, 'outgoing', (outgoing) =>
      when(context, 'incoming', (incoming) =>
        bindings(context, {
          vhost,
          name,
          kind: 'exchange',
          incoming,
          outgoing: name === '' ? [] : outgoing,
        }),
      ),
    ),
  );
}

function scheduled(context) {
  return when(context, 'scheduled', (list) =>
    list.messages.length
      ? h(
          'div',
          { class: 'stack' },
          h(
            'p',
            { class: 'soft' },
            'These messages wait in the exchange, and are routed when they are due.',
          ),
          h(
            'ul',
            { class: 'messages' },
            list.messages.map((message) => line(context, message)),
          ),
          list.next !== null &&
            h(
              'a',
              { href: link('exchanges', context.parts, { tab: 'scheduled', from: list.next }) },
              'Later ones',
            ),
        )
      : empty(
          'Nothing is scheduled',
          'A message with the header x-delay waits here until it is due.',
        ),
  );
}

function line(context, message) {
  const { opened } = context.state;
  const { position } = message;
  return messageLine(message, {
    label: position,
    open: opened.has(position),
    onOpen: () => {
      if (!opened.delete(position)) opened.add(position);
      context.set({});
    },
    note: [
      h(
        'span',
        { class: 'small', title: date(message.due_at) },
        `in ${span(message.due_at - Date.now())}`,
      ),
      h(
        'button',
        { type: 'button', class: 'danger', onclick: () => cancel(context, message) },
        'Cancel…',
      ),
    ],
  });
}

function cancel(context, message) {
  const [vhost, name] = context.parts;
  const called = message.properties?.message_id
    ? `“${message.properties.message_id}”`
    : `at position ${message.position}`;
  return confirm({
    title: 'Cancel a scheduled message',
    label: 'Cancel the message',
    body: `The message ${called}, due ${date(message.due_at)}, will be deleted and never routed.`,
    act: async () => {
      const answer = await remove(
        `${path('leveret', 'exchanges', vhost, exchangeName(name))}/scheduled` +
          query({ position: message.position }),
      );
      context.refresh();
      return `${count(answer?.cancelled ?? 1)} scheduled message cancelled.`;
    },
  });
}

async function drop(context, data) {
  const [vhost, name] = context.parts;
  const bound =
    (context.read('outgoing').data?.length ?? 0) + (context.read('incoming').data?.length ?? 0);
  const done = await confirm({
    title: `Delete the exchange “${name}”`,
    label: 'Delete',
    body:
      `The exchange, its ${count(bound)} bindings` +
      `${data.scheduled ? ` and ${count(data.scheduled)} scheduled messages` : ''} ` +
      'will be gone for good. ' +
      'Publishing to it will be an error.',
    act: async () => {
      await remove(path('exchanges', vhost, name));
      return `The exchange “${name}” is deleted.`;
    },
  });
  if (done) go(link('exchanges'));
}
