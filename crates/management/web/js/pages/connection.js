/** The page of one connection: rates, the client's properties, its channels, closing it. */
import { h, owned } from '../dom.js';
import { path, query, remove } from '../api.js';
import { Chart } from '../chart.js';
import { confirm } from '../dialog.js';
import { bytes, count, counted, date, span } from '../format.js';
import { amqpTable, card, empty, facts, head, when } from '../parts.js';
import { go, link } from '../router.js';
import { historyOf } from '../settings.js';
import { table } from '../table.js';
import { COLUMNS } from './channels.js';
import { given, state } from './connections.js';

export const connection = {
  title: ({ parts }) => parts[0],
  reads: ({ parts }) => ({
    connection: path('connections', parts[0]) + query(historyOf('data_rates')),
    channels: `${path('connections', parts[0])}/channels`,
  }),
  draw: (context) => when(context, 'connection', (data) => page(context, data)),
};

function page(context, data) {
  const { at } = context.read('connection');
  const speed = (value) => `${bytes(value)}/s`;
  return h(
    'div',
    { class: 'stack' },
    head(
      given(data) || data.name,
      h(
        'button',
        {
          type: 'button',
          class: 'danger',
          onclick: () => close(context, data),
        },
        'Close…',
      ),
      'Connection',
    ),
    h(
      'div',
      { class: 'cards' },
      card(
        'Data rates',
        owned(Chart, {
          label: 'Data rates',
          format: speed,
          base: 1024,
          series: [
            ['From client', 'recv_oct', 1],
            ['To client', 'send_oct', 2],
          ].map(([name, key, colour]) => ({
            name,
            colour,
            points: context.history.rate(name, data, key, at),
          })),
        }),
      ),
      card(
        'Connection',
        facts([
          ['Name', data.name],
          ['State', state(data)],
          ['Virtual host', data.vhost],
          ['User', h('a', { href: link('users', [data.user]) }, data.user)],
          ['Since', `${date(data.connected_at)}, for ${span(Date.now() - data.connected_at)}`],
          [
            'Protocol',
            [
              data.protocol,
              data.ssl ? `${data.ssl_protocol} ${data.ssl_cipher}` : 'not encrypted',
            ].join(', '),
          ],
          ['Signed in by', data.auth_mechanism],
          ['Heartbeat', data.timeout ? `${data.timeout} s` : 'none'],
          ['Frames', `at most ${bytes(data.frame_max)}`],
          ['Channels', `${count(data.channels)} of at most ${count(data.channel_max)}`],
          ['Received', `${bytes(data.recv_oct)} from the client, ${bytes(data.send_oct)} to it`],
          ['Certificate', data.peer_cert_subject || null],
          ['Node', data.node],
        ]),
      ),
    ),
    h(
      'div',
      { class: 'cards' },
      card('The client says', amqpTable(data.client_properties, 'Nothing about itself')),
      card(
        'Channels',
        when(context, 'channels', (list) =>
          list.length
            ? table({
                label: 'Channels',
                rows: list,
                keyOf: (one) => one.name,
                columns: COLUMNS.filter((one) =>
                  ['name', 'state', 'prefetch', 'unacked', 'in', 'out'].includes(one.id),
                ),
                href: (one) => link('channels', [one.name]),
              })
            : empty('No channels', 'The client has opened none.'),
        ),
      ),
    ),
  );
}

async function close(context, data) {
  const done = await confirm({
    title: 'Close the connection',
    label: 'Close it',
    body:
      `“${given(data) || data.name}” of the user “${data.user}” will be closed with ` +
      `${counted(data.channels ?? 0, 'channel')}. ` +
      'What it has not acknowledged goes back to its queues. ' +
      'Most clients connect again.',
    act: async () => {
      await remove(path('connections', data.name));
      return `The connection “${given(data) || data.name}” is closed.`;
    },
  });
  if (done) go(link('connections'));
}
