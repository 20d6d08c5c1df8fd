/** The page of one channel: rates, what is outstanding, its consumers. */
import { h } from '../dom.js';
import { path, query } from '../api.js';
import { consumerTable } from '../consumers.js';
import { count } from '../format.js';
import { card, empty, facts, figure, head, when } from '../parts.js';
import { link } from '../router.js';
import { state } from './connections.js';
import { historyOf } from '../settings.js';
import { rateChart } from './overview.js';

const RATES = [
  ['Published', 'publish', 1],
  ['Confirmed', 'confirm', 5],
  ['Delivered', 'deliver_get', 2],
  ['Acknowledged', 'ack', 3],
  ['Redelivered', 'redeliver', 4],
  ['Returned', 'return_unroutable', 6],
];

export const channel = {
  title: ({ parts }) => parts[0],
  reads: ({ parts }) => ({
    channel: path('channels', parts[0]) + query(historyOf('msg_rates')),
  }),
  draw: (context) => when(context, 'channel', (data) => page(context, data)),
};

function page(context, data) {
  const { at } = context.read('channel');
  const connection = data.connection_details?.name;
  return h(
    'div',
    { class: 'stack' },
    head(data.name, null, 'Channel'),
    h(
      'div',
      { class: 'figures' },
      figure(count(data.messages_unacknowledged), 'unacknowledged'),
      figure(count(data.messages_unconfirmed), 'unconfirmed'),
      figure(count(data.messages_uncommitted), 'uncommitted'),
      figure(count(data.consumer_count), 'consumers'),
    ),
    h(
      'div',
      { class: 'cards' },
      card('Message rates', rateChart(context, data.message_stats ?? {}, at, RATES)),
      card(
        'Channel',
        facts([
          ['State', state(data)],
          [
            'Connection',
            connection && h('a', { href: link('connections', [connection]) }, connection),
          ],
          ['Virtual host', data.vhost],
          ['User', data.user],
          ['Prefetch', data.prefetch_count ? count(data.prefetch_count) : 'no limit'],
          ['Prefetch, all', data.global_prefetch_count ? count(data.global_prefetch_count) : null],
          [
            'Mode',
            [data.confirm && 'publisher confirms', data.transactional && 'transactions']
              .filter(Boolean)
              .join(', ') || 'plain',
          ],
          ['Node', data.node],
        ]),
      ),
    ),
    h('h2', null, 'Consumers'),
    data.consumer_details?.length
      ? consumerTable(data.consumer_details)
      : empty('No consumers', 'This channel consumes from no queue.'),
  );
}
