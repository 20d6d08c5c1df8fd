/** The list of queues. The broker filters, sorts and pages it: 50,000 cost no more than 100. */
import { h } from '../dom.js';
import { path, put, query, remove } from '../api.js';
import { attempt, confirm, open } from '../dialog.js';
import { bytes, counted, span } from '../format.js';
import { Pairs } from '../pairs.js';
import {
  check,
  chip,
  choice,
  empty,
  field,
  filterBox,
  head,
  pace,
  queueLink,
  tally,
  when,
} from '../parts.js';
import { alter, go, link } from '../router.js';
import { choose, settings } from '../settings.js';
import { columnsButton, pager, shownColumns, table } from '../table.js';
import { QUEUE_ARGUMENTS } from '../vocabulary.js';

const speed = (queue, name) => queue.message_stats?.[`${name}_details`]?.rate;
const WANTED = [
  'name',
  'vhost',
  'type',
  'state',
  'durable',
  'auto_delete',
  'exclusive',
  'arguments',
  'policy',
  'operator_policy',
  'messages',
  'messages_ready',
  'messages_unacknowledged',
  'message_bytes',
  'consumers',
  'memory',
  'node',
  'idle_since',
  'oldest_ready_age_ms',
  'oldest_unacked_age_ms',
  'dead_letter_queue',
  'message_stats.publish_details.rate',
  'message_stats.deliver_get_details.rate',
  'message_stats.ack_details.rate',
  'message_stats.redeliver_details.rate',
  'consumer_capacity',
  'time_in_queue_ms',
];

const COLUMNS = [
  {
    id: 'name',
    label: 'Name',
    sort: 'name',
    fixed: true,
    wide: true,
    cell: (queue) => [
      queueLink(queue.vhost, queue.name),
      queue.dead_letter_queue && [
        ' ',
        chip('dead letters', 'warn', 'Other queues dead-letter to this one'),
      ],
    ],
  },
  { id: 'vhost', label: 'Virtual host', sort: 'vhost', cell: (queue) => queue.vhost, extra: true },
  { id: 'features', label: 'Features', long: true, cell: features },
  {
    id: 'state',
    label: 'State',
    sort: 'state',
    cell: (queue) =>
      h('span', { class: /^(running|idle)$/.test(queue.state) ? 'soft' : 'bad' }, queue.state),
  },
  {
    id: 'ready',
    label: 'Ready',
    sort: 'messages_ready',
    num: true,
    cell: (queue) => tally(queue.messages_ready),
  },
  {
    id: 'unacked',
    label: 'Unacked',
    sort: 'messages_unacknowledged',
    num: true,
    cell: (queue) => tally(queue.messages_unacknowledged),
  },
  {
    id: 'total',
    label: 'Total',
    sort: 'messages',
    num: true,
    cell: (queue) => tally(queue.messages),
  },
  {
    id: 'in',
    label: 'In',
    full: 'Publish rate',
    num: true,
    sort: 'message_stats.publish_details.rate',
    cell: (queue) => pace(speed(queue, 'publish')),
  },
  {
    id: 'out',
    label: 'Out',
    full: 'Delivery rate',
    num: true,
    sort: 'message_stats.deliver_get_details.rate',
    cell: (queue) => pace(speed(queue, 'deliver_get')),
  },
  {
    id: 'ack',
    label: 'Ack',
    full: 'Acknowledgement rate',
    num: true,
    extra: true,
    sort: 'message_stats.ack_details.rate',
    cell: (queue) => pace(speed(queue, 'ack')),
  },
  {
    id: 'redeliver',
    label: 'Redelivered',
    full: 'Redelivery rate',
    num: true,
    extra: true,
    sort: 'message_stats.redeliver_details.rate',
    cell: (queue) => pace(speed(queue, 'redeliver')),
  },
  {
    id: 'consumers',
    label: 'Consumers',
    sort: 'consumers',
    num: true,
    cell: (queue) => tally(queue.consumers),
  },
  {
    id: 'oldest',
    label: 'Oldest',
    full: 'Age of the oldest ready message',
    num: true,
    sort: 'oldest_ready_age_ms',
    cell: (queue) => age(queue.oldest_ready_age_ms),
  },
  {
    id: 'unackedage',
    label: 'Oldest unacked',
    full: 'Age of the oldest delivery not acknowledged',
    num: true,
    extra: true,
    sort: 'oldest_unacked_age_ms',
    cell: (queue) => age(queue.oldest_unacked_age_ms),
  },
  {
    id: 'capacity',
    label: 'Consumers have room',
    full: 'Share of the time in which consumers could take a message at once',
    num: true,
    extra: true,
    sort: 'consumer_capacity',
    cell: (queue) =>
      queue.consumers && Number.isFinite(queue.consumer_capacity)
        ? `${Math.round(queue.consumer_capacity * 100)} %`
        : h('span', { class: 'zero' }, '–'),
  },
  {
    id: 'intime',
    label: 'Time in queue',
    full: 'How long messages waited for their first delivery in the last seconds',
    num: true,
    extra: true,
    sort: 'time_in_queue_ms',
    cell: (queue) => age(queue.time_in_queue_ms),
  },
  {
    id: 'bytes',
    label: 'Bytes',
    sort: 'message_bytes',
    num: true,
    extra: true,
    cell: (queue) => bytes(queue.message_bytes),
  },
  {
    id: 'memory',
    label: 'Memory',
    sort: 'memory',
    num: true,
    extra: true,
    cell: (queue) => bytes(queue.memory),
  },
  {
    id: 'policy',
    label: 'Policy',
    sort: 'policy',
    extra: true,
    cell: (queue) => queue.policy ?? '',
  },
  { id: 'node', label: 'Node', sort: 'node', extra: true, cell: (queue) => queue.node ?? '' },
];

const age = (ms) => (Number.isFinite(ms) ? span(ms) : h('span', { class: 'zero' }, '–'));

/** What is special about a queue, as chips. */
export function features(queue) {
  const known = {
    'x-message-ttl': 'TTL',
    'x-expires': 'expires',
    'x-max-length': 'limit',
    'x-max-length-bytes': 'limit',
    'x-dead-letter-exchange': 'DLX',
    'x-max-priority': 'priorities',
    'x-single-active-consumer': 'SAC',
    'x-message-deduplication': 'once',
    'x-delayed-retry-type': 'retry',
    'x-message-group-header': 'groups',
    'x-delivery-limit': 'delivery limit',
  };
  const words = new Map();
  for (const [name, value] of Object.entries(queue.arguments ?? {})) {
    if (known[name]) words.set(known[name], `${words.get(known[name]) ?? ''}${name}: ${value} `);
  }
  return h(
    'span',
    { class: 'chips' },
    chip(queue.type ?? 'classic'),
    !queue.durable && chip('transient', '', 'Gone after a restart'),
    queue.auto_delete && chip('auto-delete', '', 'Deleted after its last consumer'),
    queue.exclusive && chip('exclusive', '', 'Of one connection'),
    [...words].map(([word, title]) => chip(word, '', title)),
    queue.policy && chip(queue.policy, 'good', 'Policy'),
    queue.operator_policy && chip(queue.operator_policy, 'good', 'Operator policy'),
  );
}

const keyOf = (queue) => `${queue.vhost}\n${queue.name}`;

export const queues = {
  title: () => 'Queues',
  start: () => ({ picked: new Set(), memo: new WeakMap() }),
  reads: (context) => {
    const { filter, page, sort, reverse, regex } = context.fields;
    return {
      list:
        context.scoped('queues') +
        query({
          page: page ?? 1,
          page_size: settings.pageSize,
          name: filter,
          use_regex: regex ? 'true' : 'false',
          sort: sort ?? 'name',
          sort_reverse: reverse ? 'true' : 'false',
          columns: WANTED.join(','),
        }),
    };
  },
  draw: (context) =>
    h(
      'div',
      null,
      head(
        'Queues',
        h(
          'button',
          {
            type: 'button',
            class: 'main',
            'data-new': true,
            onclick: () => declare(context),
          },
          'Add a queue',
        ),
      ),
      tools(context),
      when(context, 'list', (list) => (list.items.length ? body(context, list) : nothing(context))),
    ),
};

function tools(context) {
  const { fields, state } = context;
  const number = state.picked.size;
  return h(
    'div',
    { class: 'tools' },
    filterBox(fields.filter ?? '', (filter) => {
      context.set({ picked: new Set() });
      alter({ filter, page: '' });
    }),
    check('regex', 'Regular expression', Boolean(fields.regex), {
      onchange: (event) => alter({ regex: event.target.checked ? '1' : '', page: '' }),
    }),
    h('span', { class: 'room' }),
    number > 0 && [
      h('span', { class: 'soft' }, `${counted(number, 'queue')} selected`),
      h(
        'button',
        { type: 'button', class: 'danger', onclick: () => bulk(context, 'purge') },
        'Purge…',
      ),
      h(
        'button',
        { type: 'button', class: 'danger', onclick: () => bulk(context, 'delete') },
        'Delete…',
      ),
    ],
    choice(
      'size',
      ['50', '100', '250', '500'].map((n) => [n, `${n} a page`]),
      String(settings.pageSize),
      {
        'aria-label': 'Rows on a page',
        onchange: (event) => {
          choose({ pageSize: Number(event.target.value) });
          alter({ page: '' });
        },
      },
    ),
    columnsButton('queues', COLUMNS, () => context.set({})),
  );
}

function body(context, list) {
  const { fields, state } = context;
  let columns = shownColumns('queues', COLUMNS);
  if (!settings.columns.queues && !settings.vhost && context.app.vhosts.length > 1) {
    columns = COLUMNS.filter((column) => !column.extra || column.id === 'vhost');
  }
  return h(
    'div',
    { class: context.read('list').stale ? 'loading' : undefined },
    table({
      label: 'Queues',
      columns,
      rows: list.items,
      keyOf,
      picked: state.picked,
      memo: state.memo,
      onPick: (change) => context.set({ picked: change(state.picked) }),
      order: { by: fields.sort ?? 'name', reverse: Boolean(fields.reverse) },
      onOrder: ({ by, reverse }) => alter({ sort: by, reverse: reverse ? '1' : '', page: '' }),
      href: (queue) => link('queues', [queue.vhost, queue.name]),
    }),
    pager(list, (page) => {
      context.set({ picked: new Set() });
      alter({ page: String(page) });
    }),
  );
}

function nothing(context) {
  return context.fields.filter
    ? empty('No queue has such a name', 'The filter looks for a part of the name.')
    : empty('There are no queues yet', 'A program declares one when it starts; or add one here.');
}

async function bulk(context, verb) {
  const chosen = [...context.state.picked].map((key) => key.split('\n'));
  const names = chosen
    .slice(0, 8)
    .map(([, name]) => h('li', null, h('b', { class: 'name' }, name)));
  const many = counted(chosen.length, 'queue');
  const result = await confirm({
    title: verb === 'purge' ? `Purge ${many}` : `Delete ${many}`,
    label: verb === 'purge' ? `Purge ${many}` : `Delete ${many}`,
    body: [
      h(
        'p',
        null,
        verb === 'purge'
          ? 'All ready messages of these queues will be deleted for good:'
          : 'These queues will be deleted for good, with every message in them:',
      ),
      h('ul', null, names),
      chosen.length > 8 && h('p', { class: 'soft' }, `and ${chosen.length - 8} more`),
    ],
    act: async () => {
      const failed = [];
      for (const [vhost, name] of chosen) {
        try {
          await remove(path('queues', vhost, name, ...(verb === 'purge' ? ['contents'] : [])));
        } catch (error) {
          failed.push(`“${name}”: ${error.message}`);
        }
      }
      context.refresh();
      if (failed.length)
        throw new Error(
          `${failed.length} of ${chosen.length} failed. ${failed.slice(0, 3).join(' ')}`,
        );
      return `${many} ${verb === 'purge' ? 'purged' : 'deleted'}.`;
    },
  });
  if (result) context.set({ picked: new Set() });
  context.refresh();
}

async function declare(context) {
  const pairs = new Pairs(QUEUE_ARGUMENTS);
  const made = await open({
    title: 'Add a queue',
    label: 'Add',
    wide: true,
    inside: (redraw) =>
      h(
        'div',
        { class: 'form' },
        h(
          'div',
          { class: 'two' },
          field(
            'Name',
            h('input', { name: 'name', required: true, autocomplete: 'off', spellcheck: 'false' }),
          ),
          field('Virtual host', choice('vhost', context.app.vhosts, settings.vhost || '/')),
          field('Type', choice('type', ['classic', 'quorum'], 'classic')),
        ),
        h(
          'div',
          { class: 'row' },
          check('durable', 'Durable (survives a restart)', true),
          check('auto', 'Delete after its last consumer', false),
        ),
        h(
          'div',
          { class: 'field' },
          h('span', null, 'Arguments'),
          pairs.draw(redraw, 'Add an argument'),
        ),
      ),
    act: async (form) => {
      const [vhost, name] = [form.get('vhost'), form.get('name')];
      const type = form.get('type');
      await put(path('queues', vhost, name), {
        durable: Boolean(form.get('durable')),
        auto_delete: Boolean(form.get('auto')),
        arguments: { ...(type === 'classic' ? {} : { 'x-queue-type': type }), ...pairs.value() },
      });
      return [vhost, name];
    },
  });
  if (made)
    await attempt(() => {
      go(link('queues', made));
      return `Queue “${made[1]}” is there.`;
    });
}
