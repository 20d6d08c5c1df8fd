/** The page of one queue: rates, depth, messages, consumers, bindings, what can be done. */
import { h } from '../dom.js';
import { get, path, query, remove } from '../api.js';
import { Browse } from '../browse.js';
import { confirm, open, toast } from '../dialog.js';
import { bytes, count, counted, date, span } from '../format.js';
import { change } from '../message_actions.js';
import { amqpTable, card, empty, facts, field, figure, head, tabs, when } from '../parts.js';
import { consumerTable } from '../consumers.js';
import { bindings } from '../bindings.js';
import { getMessages, publish } from '../publishing.js';
import { go, link } from '../router.js';
import { historyOf } from '../settings.js';
import { table } from '../table.js';
import { depthChart, rateChart } from './overview.js';
import { features } from './queues.js';

const RATES = [
  ['Published', 'publish', 1],
  ['Delivered', 'deliver_get', 2],
  ['Acknowledged', 'ack', 3],
  ['Redelivered', 'redeliver', 4],
];

export const queue = {
  title: ({ parts }) => parts[1],
  start: (context) => {
    const [vhost, name] = context.parts;
    return { browse: new Browse(vhost, name, () => context.set({})) };
  },
  leave: ({ state }) => state.browse.close(),
  reads: (context) => {
    const at = path('queues', ...context.parts);
    const reads = { queue: at + query(historyOf('msg_rates', 'lengths')) };
    const { tab } = context.fields;
    if (tab === 'bindings') reads.bindings = `${at}/bindings`;
    if (tab === 'unacked') {
      reads.unacked = `${path('leveret', 'queues', ...context.parts)}/unacked?count=200`;
    }
    return reads;
  },
  draw: (context) => when(context, 'queue', (data) => page(context, data)),
};

function page(context, data) {
  const [vhost, name] = context.parts;
  const tab = context.fields.tab ?? 'overview';
  return h(
    'div',
    null,
    head(name, actions(context, data), ['Queue in ', h('b', { class: 'name' }, vhost)]),
    tabs(
      tab,
      [
        ['overview', 'Overview'],
        ['messages', 'Messages'],
        ['consumers', `Consumers ${count(data.consumers ?? 0)}`],
        ['bindings', 'Bindings'],
        ['unacked', `Unacknowledged ${count(data.messages_unacknowledged ?? 0)}`],
      ],
      (id) => link('queues', context.parts, id === 'overview' ? {} : { tab: id }),
    ),
    { overview, messages, consumers, bindings: bound, unacked }[tab]?.(context, data) ??
      overview(context, data),
  );
}

function actions(context, data) {
  const [vhost, name] = context.parts;
  return [
    h(
      'button',
      {
        type: 'button',
        class: 'main',
        onclick: () => publish(vhost, '', name).then(context.refresh),
      },
      'Publish…',
    ),
    h(
      'button',
      { type: 'button', onclick: () => getMessages(vhost, name).then(context.refresh) },
      'Get…',
    ),
    h('button', { type: 'button', onclick: () => all(context, 'move') }, 'Move…'),
    data.dead_letter_queue &&
      h(
        'button',
        {
          key: 'redrive',
          type: 'button',
          onclick: () => all(context, 'redrive'),
        },
        'Redrive…',
      ),
    danger('Purge…', () => purge(context, data)),
    danger('Delete…', () => drop(context, data)),
  ];
}

const danger = (label, onclick) => h('button', { type: 'button', class: 'danger', onclick }, label);

async function all(context, verb) {
  const [vhost, name] = context.parts;
  if (await change(verb, vhost, name, { where: [] })) context.refresh();
}

function overview(context, data) {
  const { at } = context.read('queue');
  return h(
    'div',
    { class: 'stack' },
    h(
      'div',
      { class: 'figures' },
      figure(count(data.messages_ready), 'ready'),
      figure(count(data.messages_unacknowledged), 'unacknowledged'),
      figure(bytes(data.message_bytes), 'of messages'),
      figure(count(data.consumers), 'consumers'),
      figure(
        Number.isFinite(data.oldest_ready_age_ms) ? span(data.oldest_ready_age_ms) : '–',
        'oldest ready',
      ),
      figure(
        Number.isFinite(data.oldest_unacked_age_ms) ? span(data.oldest_unacked_age_ms) : '–',
        'longest unacknowledged',
      ),
    ),
    h(
      'div',
      { class: 'cards' },
      card('Message rates', rateChart(context, data.message_stats ?? {}, at, RATES)),
      card('Messages', depthChart(context, data, at)),
    ),
    h(
      'div',
      { class: 'cards three' },
      card(
        'Queue',
        facts([
          ['Features', features(data)],
          ['State', data.state],
          ['Node', data.node ?? data.leader],
          [
            'Idle since',
            data.idle_since && date(Date.parse(`${data.idle_since}Z`.replace(/ /, 'T')) || NaN),
          ],
          ['Memory', bytes(data.memory)],
          ['Active consumer', data.single_active_consumer_tag || null],
          [
            'Consumers take',
            data.consumers && Number.isFinite(data.consumer_capacity)
              ? `${Math.round(data.consumer_capacity * 100)} % of the time at once`
              : null,
          ],
          [
            'Time in queue',
            Number.isFinite(data.time_in_queue_ms)
              ? `${span(data.time_in_queue_ms)} until the first delivery`
              : null,
          ],
          [
            'Dead letters',
            data.dead_letter_queue &&
              h(
                'a',
                { href: link('dead-letters', context.parts) },
                'Other queues dead-letter to this one: open the desk',
              ),
          ],
        ]),
      ),
      card('Arguments', amqpTable(data.arguments)),
      card(
        'Policy',
        facts([
          ['Policy', data.policy ?? 'none'],
          ['Operator policy', data.operator_policy ?? 'none'],
        ]),
        h('h3', null, 'What they come to'),
        amqpTable(data.effective_policy_definition, 'Nothing'),
      ),
    ),
  );
}

function messages(context) {
  return context.state.browse.draw({
    none: empty(
      'No ready messages',
      'Those delivered and not yet acknowledged are under Unacknowledged.',
    ),
  });
}

function consumers(context, data) {
  return data.consumer_details?.length
    ? consumerTable(data.consumer_details)
    : empty('Nobody consumes this queue', 'Its messages wait until somebody does.');
}

function bound(context) {
  const [vhost, name] = context.parts;
  return when(context, 'bindings', (list) =>
    bindings(context, {
      vhost,
      name,
      kind: 'queue',
      incoming: list,
      outgoing: [],
    }),
  );
}

const UNACKED = [
  { id: 'position', label: 'Position', num: true, cell: (one) => count(one.position) },
  {
    id: 'tag',
    label: 'Consumer',
    wide: true,
    cell: (one) => h('span', { class: 'name' }, one.consumer_tag || 'basic.get'),
  },
  {
    id: 'channel',
    label: 'Channel',
    wide: true,
    cell: (one) =>
      one.channel_details?.name &&
      h('a', { href: link('channels', [one.channel_details.name]) }, one.channel_details.name),
  },
  {
    id: 'since',
    label: 'For',
    num: true,
    cell: (one) => (one.since ? span(Date.now() - one.since) : '–'),
  },
];

function unacked(context) {
  return when(context, 'unacked', (list) =>
    list.messages.length
      ? h(
          'div',
          { class: 'stack' },
          table({
            label: 'Unacknowledged messages',
            columns: UNACKED,
            rows: list.messages,
            keyOf: (one) => one.position,
          }),
          list.next !== null && h('p', { class: 'soft small' }, 'Only the first 200 are shown.'),
        )
      : empty('Nothing is unacknowledged', 'What was delivered has been settled.'),
  );
}

// The page's figures may be as old as the interval; a question about numbers asks for them anew.
async function asItIs(context, data) {
  try {
    return await get(path('queues', ...context.parts));
  } catch {
    return data; // the question itself will find out what is wrong
  }
}

async function purge(context, before) {
  const [vhost, name] = context.parts;
  const data = await asItIs(context, before);
  const number = counted(data.messages_ready ?? 0, 'ready message');
  return confirm({
    title: `Purge “${name}”`,
    label: 'Purge',
    body: `${number} will be deleted for good. What is unacknowledged stays.`,
    act: async () => {
      await remove(`${path('queues', vhost, name)}/contents`);
      context.state.browse.started = false;
      context.refresh();
      return `“${name}” is purged of ${number}.`;
    },
  });
}

async function drop(context, before) {
  const [vhost, name] = context.parts;
  const data = await asItIs(context, before);
  const held = counted(data.messages ?? 0, 'message');
  const done = await open({
    title: `Delete the queue “${name}”`,
    label: 'Delete',
    danger: true,
    inside: () => [
      h(
        'p',
        null,
        `The queue, ${held} and its bindings will be gone for good. ` +
          `${counted(data.consumers ?? 0, 'consumer')} will be cancelled.`,
      ),
      field(
        'Delete it',
        h(
          'select',
          { name: 'only' },
          h('option', { value: '' }, 'in any case'),
          h('option', { value: 'if-empty' }, 'only if it is empty'),
          h('option', { value: 'if-unused' }, 'only if nobody consumes it'),
        ),
      ),
    ],
    act: async (form) => {
      const only = form.get('only');
      await remove(path('queues', vhost, name) + (only ? `?${only}=true` : ''));
      return true;
    },
  });
  if (!done) return;
  go(link('queues'));
  toast(`The queue “${name}” is deleted, with ${held}.`);
}
