/** The list of channels. */
import { h } from '../dom.js';
import { count } from '../format.js';
import { paged, pagedPath } from '../lists.js';
import { chip, empty, head, pace, tally } from '../parts.js';
import { link } from '../router.js';
import { ofVhost, state } from './connections.js';

const speed = (one, name) => pace(one.message_stats?.[`${name}_details`]?.rate);

/** The columns of a table of channels. */
export const COLUMNS = [
  {
    id: 'name',
    label: 'Name',
    sort: 'name',
    fixed: true,
    wide: true,
    cell: (one) =>
      h('a', { class: 'name', href: link('channels', [one.name]), tabindex: '-1' }, one.name),
  },
  { id: 'vhost', label: 'Virtual host', sort: 'vhost', cell: (one) => one.vhost },
  { id: 'user', label: 'User', sort: 'user', cell: (one) => one.user },
  {
    id: 'mode',
    label: 'Mode',
    cell: (one) =>
      one.confirm || one.transactional
        ? [
            one.confirm && chip('confirms', '', 'Publisher confirms'),
            one.transactional && chip('transactions'),
          ]
        : '',
  },
  { id: 'state', label: 'State', sort: 'state', cell: state },
  {
    id: 'consumers',
    label: 'Consumers',
    sort: 'consumer_count',
    num: true,
    cell: (one) => tally(one.consumer_count),
  },
  {
    id: 'prefetch',
    label: 'Prefetch',
    sort: 'prefetch_count',
    num: true,
    cell: (one) =>
      one.prefetch_count ? count(one.prefetch_count) : h('span', { class: 'zero' }, 'no limit'),
  },
  {
    id: 'unacked',
    label: 'Unacked',
    sort: 'messages_unacknowledged',
    num: true,
    cell: (one) => tally(one.messages_unacknowledged),
  },
  {
    id: 'unconfirmed',
    label: 'Unconfirmed',
    sort: 'messages_unconfirmed',
    num: true,
    cell: (one) => tally(one.messages_unconfirmed),
  },
  {
    id: 'in',
    label: 'In',
    full: 'Publish rate',
    num: true,
    sort: 'message_stats.publish_details.rate',
    cell: (one) => speed(one, 'publish'),
  },
  {
    id: 'out',
    label: 'Out',
    full: 'Delivery rate',
    num: true,
    sort: 'message_stats.deliver_get_details.rate',
    cell: (one) => speed(one, 'deliver_get'),
  },
  {
    id: 'ack',
    label: 'Ack',
    full: 'Acknowledgement rate',
    num: true,
    extra: true,
    sort: 'message_stats.ack_details.rate',
    cell: (one) => speed(one, 'ack'),
  },
];

export const channels = {
  title: () => 'Channels',
  reads: (context) => ({ list: pagedPath(context, ofVhost('channels')) }),
  draw: (context) =>
    h(
      'div',
      null,
      head('Channels'),
      paged(context, {
        id: 'channels',
        label: 'Channels',
        columns: COLUMNS,
        keyOf: (one) => one.name,
        href: (one) => link('channels', [one.name]),
        none: empty('No channel is open', 'A connection opens channels to publish and consume on.'),
      }),
    ),
};
