/** The overview: totals, rates, what nodes use, listeners. */
import { h, owned } from '../dom.js';
import { Chart } from '../chart.js';
import { brief, bytes, count, rate, span } from '../format.js';
import { amqpTable, card, facts, figure, head, when } from '../parts.js';
import { link } from '../router.js';

const RATES = [
  ['Published', 'publish', 1],
  ['Delivered', 'deliver_get', 2],
  ['Acknowledged', 'ack', 3],
  ['Confirmed', 'confirm', 5],
  ['Redelivered', 'redeliver', 4],
  ['Unroutable', 'drop_unroutable', 6],
];
const DEPTHS = [
  ['Ready', 'messages_ready', 2],
  ['Unacknowledged', 'messages_unacknowledged', 1],
  ['All', 'messages', 6],
];

/** The chart of message rates of anything that has `message_stats`. */
export function rateChart(context, stats, at, series = RATES) {
  return owned(
    Chart,
    {
      label: 'Message rates',
      format: rate,
      series: series.map(([name, key, colour]) => ({
        name,
        colour,
        points: context.history.rate(name, stats, key, at),
      })),
    },
    { key: 'rates' },
  );
}

/** The chart of the messages that are held. */
export function depthChart(context, totals, at) {
  return owned(
    Chart,
    {
      label: 'Queued messages',
      format: brief,
      area: true,
      series: DEPTHS.map(([name, key, colour]) => ({
        name,
        colour,
        points: context.history.level(`depth ${name}`, totals, key, at),
      })),
    },
    { key: 'depth' },
  );
}

export const overview = {
  title: () => 'Overview',
  draw: (context) =>
    when(context, 'overview', (data) => {
      const { at } = context.read('overview');
      return h(
        'div',
        { class: 'stack' },
        head('Overview', h('span', { class: 'soft name' }, data.cluster_name)),
        totals(data),
        h(
          'div',
          { class: 'cards' },
          card('Message rates', rateChart(context, data.message_stats ?? {}, at)),
          card('Queued messages', depthChart(context, data.queue_totals ?? {}, at)),
        ),
        (context.app.nodes() ?? []).map((node) => nodeCard(context, node)),
        h('div', { class: 'cards' }, listeners(data), churn(data)),
      );
    }),
};

function totals(data) {
  const objects = data.object_totals ?? {};
  const queued = data.queue_totals ?? {};
  return h(
    'div',
    { class: 'figures' },
    figure(count(queued.messages_ready ?? 0), 'messages ready'),
    figure(count(queued.messages_unacknowledged ?? 0), 'unacknowledged'),
    ['queues', 'exchanges', 'connections', 'channels'].map((name) =>
      figure(count(objects[name]), name, link(name)),
    ),
    figure(count(objects.consumers), 'consumers'),
  );
}

function share(used, limit, kind = '') {
  const part = limit > 0 ? Math.min(1, used / limit) : 0;
  const level = kind || (part > 0.9 ? 'bad' : part > 0.75 ? 'warn' : '');
  return h(
    'div',
    { class: `bar ${level}`, 'aria-hidden': 'true' },
    h('i', { style: { width: `${(part * 100).toFixed(1)}%` } }),
  );
}

function nodeCard(context, node) {
  const { at } = context.read('nodes');
  const memory = context.history.level(`memory ${node.name}`, node, 'mem_used', at);
  return h(
    'div',
    { class: 'cards', key: node.name },
    card(
      `Node ${node.name}`,
      h(
        'div',
        { class: 'stack' },
        facts([
          ['Up for', span(node.uptime)],
          [
            'Memory',
            h(
              'div',
              null,
              `${bytes(node.mem_used)} of ${bytes(node.mem_limit)}` +
                `${node.mem_alarm ? ', alarm' : ''}`,
              share(node.mem_used, node.mem_limit, node.mem_alarm ? 'bad' : ''),
            ),
          ],
          [
            'Free disk',
            h(
              'div',
              { class: node.disk_free_alarm ? 'bad' : undefined },
              `${bytes(node.disk_free)}, at least ${bytes(node.disk_free_limit)} wanted`,
            ),
          ],
          [
            'Open files',
            h(
              'div',
              null,
              `${count(node.fd_used)} of ${count(node.fd_total)}`,
              share(node.fd_used, node.fd_total),
            ),
          ],
          node.sockets_total
            ? ['Sockets', `${count(node.sockets_used)} of ${count(node.sockets_total)}`]
            : null,
          ['Processors', count(node.processors)],
          ['Process', node.os_pid],
          ['Data', node.db_dir && h('code', null, node.db_dir)],
          ['Logs', (node.log_files ?? []).join(', ')],
          ['Configuration', (node.config_files ?? []).join(', ')],
        ]),
      ),
    ),
    card(
      'Memory',
      owned(Chart, {
        label: `Memory of ${node.name}`,
        format: bytes,
        area: true,
        base: 1024,
        series: [{ name: 'Used', colour: 3, points: memory }],
      }),
    ),
  );
}

function listeners(data) {
  return card(
    'Listeners',
    h(
      'div',
      { class: 'tablebox' },
      h(
        'table',
        null,
        h(
          'thead',
          null,
          h(
            'tr',
            null,
            ['Protocol', 'Address', 'Port'].map((name) =>
              h('th', { scope: 'col', class: name === 'Port' ? 'num' : undefined }, name),
            ),
          ),
        ),
        h(
          'tbody',
          null,
          (data.listeners ?? []).map((one) =>
            h(
              'tr',
              {
                key: `${one.node} ${one.protocol} ${one.ip_address} ${one.port}`,
              },
              h('td', null, one.protocol),
              h('td', null, one.ip_address),
              h('td', { class: 'num' }, String(one.port)),
            ),
          ),
        ),
      ),
    ),
  );
}

function churn(data) {
  const rates = data.churn_rates ?? {};
  const names = [
    ['connection_created', 'Connections opened'],
    ['connection_closed', 'Connections closed'],
    ['channel_created', 'Channels opened'],
    ['channel_closed', 'Channels closed'],
    ['queue_declared', 'Queue declarations'],
    ['queue_created', 'Queues made'],
    ['queue_deleted', 'Queues deleted'],
  ];
  return card(
    'Comings and goings',
    facts(
      names.map(([key, label]) => [
        label,
        `${count(rates[key])}, ${rate(rates[`${key}_details`]?.rate ?? 0)}`,
      ]),
    ),
    data.cluster_tags && Object.keys(data.cluster_tags).length > 0 && amqpTable(data.cluster_tags),
  );
}
