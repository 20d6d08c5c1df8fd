/** The list of connections. */
import { h } from '../dom.js';
import { bytes, date } from '../format.js';
import { paged, pagedPath } from '../lists.js';
import { chip, empty, head, tally } from '../parts.js';
import { link } from '../router.js';
import { settings } from '../settings.js';
import { path } from '../api.js';

/** What the client calls itself. */
export const given = (one) =>
  one.user_provided_name || one.client_properties?.connection_name || '';

/** A connection's state, as a chip. */
export function state(one) {
  const kind = { running: 'good', blocked: 'bad', blocking: 'warn', flow: 'warn' }[one.state] ?? '';
  return chip(one.state ?? 'running', kind);
}

const speed = (one, name) => {
  const value = one[`${name}_details`]?.rate;
  return value ? `${bytes(value)}/s` : h('span', { class: 'zero' }, '0 B/s');
};

const COLUMNS = [
  {
    id: 'name',
    label: 'Name',
    sort: 'name',
    fixed: true,
    wide: true,
    cell: (one) => [
      h('a', { class: 'name', href: link('connections', [one.name]), tabindex: '-1' }, one.name),
      given(one) && h('div', { class: 'soft name' }, given(one)),
    ],
  },
  { id: 'vhost', label: 'Virtual host', sort: 'vhost', cell: (one) => one.vhost },
  { id: 'user', label: 'User', sort: 'user', cell: (one) => one.user },
  { id: 'state', label: 'State', sort: 'state', cell: state },
  {
    id: 'tls',
    label: 'TLS',
    sort: 'ssl',
    cell: (one) => (one.ssl ? one.ssl_protocol || 'yes' : h('span', { class: 'zero' }, 'no')),
  },
  { id: 'protocol', label: 'Protocol', sort: 'protocol', cell: (one) => one.protocol },
  {
    id: 'channels',
    label: 'Channels',
    sort: 'channels',
    num: true,
    cell: (one) => tally(one.channels),
  },
  {
    id: 'in',
    label: 'From client',
    sort: 'recv_oct_details.rate',
    num: true,
    cell: (one) => speed(one, 'recv_oct'),
  },
  {
    id: 'out',
    label: 'To client',
    sort: 'send_oct_details.rate',
    num: true,
    cell: (one) => speed(one, 'send_oct'),
  },
  {
    id: 'since',
    label: 'Since',
    sort: 'connected_at',
    extra: true,
    cell: (one) => date(one.connected_at),
  },
  {
    id: 'client',
    label: 'Client',
    extra: true,
    cell: (one) => one.client_properties?.product ?? '',
  },
  { id: 'node', label: 'Node', sort: 'node', extra: true, cell: (one) => one.node },
];

/** A list's path, of the virtual host that is chosen or of all, where that one is the parent. */
export const ofVhost = (name) =>
  settings.vhost ? path('vhosts', settings.vhost, name) : `/${name}`;

export const connections = {
  title: () => 'Connections',
  reads: (context) => ({ list: pagedPath(context, ofVhost('connections')) }),
  draw: (context) =>
    h(
      'div',
      null,
      head('Connections'),
      paged(context, {
        id: 'connections',
        label: 'Connections',
        columns: COLUMNS,
        keyOf: (one) => one.name,
        href: (one) => link('connections', [one.name]),
        none: empty(
          'Nobody is connected',
          'Programs connect with amqp:// on port 5672, or amqps:// on 5671.',
        ),
      }),
    ),
};
