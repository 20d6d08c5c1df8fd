/** Owns the table of consumers, as the pages of queues and channels show it. */
import { h } from './dom.js';
import { count, span, value } from './format.js';
import { chip, queueLink } from './parts.js';
import { link } from './router.js';
import { table } from './table.js';

const COLUMNS = [
  {
    id: 'tag',
    label: 'Tag',
    wide: true,
    cell: (one) => h('span', { class: 'name' }, one.consumer_tag),
  },
  {
    id: 'queue',
    label: 'Queue',
    cell: (one) => one.queue && queueLink(one.queue.vhost, one.queue.name),
  },
  {
    id: 'channel',
    label: 'Channel',
    cell: (one) =>
      one.channel_details?.name &&
      h(
        'a',
        {
          href: link('channels', [one.channel_details.name]),
          tabindex: '-1',
        },
        one.channel_details.name,
      ),
  },
  { id: 'user', label: 'User', cell: (one) => one.channel_details?.user ?? '' },
  { id: 'ack', label: 'Acknowledges', cell: (one) => (one.ack_required ? 'yes' : 'no') },
  {
    id: 'prefetch',
    label: 'Prefetch',
    num: true,
    cell: (one) => (one.prefetch_count ? count(one.prefetch_count) : 'no limit'),
  },
  {
    id: 'unacked',
    label: 'Unacked',
    num: true,
    cell: (one) => count(one.messages_unacknowledged ?? 0),
  },
  {
    id: 'oldest',
    label: 'Oldest unacked',
    num: true,
    cell: (one) => span(one.oldest_unacked_age_ms),
  },
  {
    id: 'state',
    label: 'State',
    cell: (one) => [
      one.active === false
        ? chip('waiting', '', 'Another one is served')
        : chip(one.activity_status ?? 'up', 'good'),
      one.exclusive && chip('exclusive'),
    ],
  },
  {
    id: 'arguments',
    label: 'Arguments',
    cell: (one) =>
      Object.entries(one.arguments ?? {})
        .map(([name, what]) => `${name}: ${value(what)}`)
        .join(', '),
  },
];

/** The consumers, one a row. */
export function consumerTable(list) {
  return table({
    label: 'Consumers',
    columns: COLUMNS,
    rows: list,
    keyOf: (one) => `${one.channel_details?.name} ${one.consumer_tag} ${one.queue?.name}`,
  });
}
