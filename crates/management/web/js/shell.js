/** Owns the frame around every page: side bar, top bar, banners. */
import { h } from './dom.js';
import { brief, time } from './format.js';
import { link } from './router.js';
import { RANGES, settings } from './settings.js';
import { showKeys } from './keys.js';

const GROUPS = [
  [
    '',
    [
      ['overview', 'Overview'],
      ['queues', 'Queues', 'queues'],
      ['exchanges', 'Exchanges', 'exchanges'],
      ['dead-letters', 'Dead letters'],
    ],
  ],
  [
    'Clients',
    [
      ['connections', 'Connections', 'connections'],
      ['channels', 'Channels', 'channels'],
    ],
  ],
  [
    'Rules',
    [
      ['policies', 'Policies'],
      ['vhosts', 'Virtual hosts'],
      ['users', 'Users', null, 'administrator'],
    ],
  ],
  [
    'System',
    [
      ['definitions', 'Definitions', null, 'administrator'],
      ['logs', 'Log', null, 'monitoring'],
    ],
  ],
];

/** The whole frame around `inside`. `app` is what app.js offers: state, and what can be changed. */
export function shell(app, inside) {
  const overview = app.overview();
  return h(
    'div',
    { class: app.menuOpen ? 'frame open' : 'frame' },
    h('a', { class: 'skip', href: '#main', onclick: skip }, 'Skip to the content'),
    side(app, overview),
    app.menuOpen && h('div', { class: 'veil', key: 'veil', onclick: () => app.menu(false) }),
    h(
      'div',
      { class: 'body' },
      banners(app, overview),
      top(app),
      h('main', { id: 'main', tabindex: '-1', key: 'main' }, inside),
    ),
  );
}

function skip(event) {
  event.preventDefault();
  document.getElementById('main').focus();
}

function side(app, overview) {
  const totals = overview?.object_totals ?? {};
  return h(
    'nav',
    { class: 'side', 'aria-label': 'Pages' },
    h(
      'a',
      { class: 'brand', href: link('overview') },
      h('img', { src: 'img/leveret.svg', alt: '' }),
      'Leveret',
    ),
    GROUPS.map(([title, items]) => [
      title && h('h2', null, title),
      items
        .filter((item) => !item[3] || app.may(item[3]))
        .map(([page, label, total]) =>
          h(
            'a',
            {
              class: 'item',
              href: link(page),
              key: page,
              'aria-current': app.page === page ? 'page' : undefined,
            },
            label,
            total &&
              Number.isFinite(totals[total]) &&
              h('span', { class: 'count' }, brief(totals[total])),
          ),
        ),
    ]),
    h(
      'div',
      { class: 'foot' },
      overview && [
        h('div', null, `${overview.product_name ?? ''} ${overview.product_version ?? ''}`),
        h('div', { class: 'name' }, overview.cluster_name),
      ],
      h('div', null, h('a', { href: 'api/openapi.json' }, 'The HTTP API (OpenAPI)')),
      select(
        'Read every',
        String(settings.interval),
        [
          ['2', '2 s'],
          ['5', '5 s'],
          ['10', '10 s'],
          ['30', '30 s'],
          ['0', 'paused'],
        ],
        (interval) => app.choose({ interval: Number(interval) }),
      ),
      select(
        'Theme',
        settings.theme,
        [
          ['system', 'system'],
          ['light', 'light'],
          ['dark', 'dark'],
        ],
        (theme) => app.choose({ theme }),
      ),
      h(
        'div',
        null,
        h(
          'button',
          { type: 'button', class: 'plain small', onclick: showKeys },
          h('kbd', null, '?'),
          ' keys',
        ),
        h(
          'button',
          { type: 'button', class: 'plain small narrow', onclick: app.signOut },
          'Sign out',
        ),
      ),
    ),
  );
}

function top(app) {
  const paused = !settings.interval;
  const state = app.poller.unreachable ? 'off' : paused ? 'paused' : '';
  const said = app.poller.unreachable
    ? 'No answer'
    : paused
      ? 'Paused'
      : `Read ${time(app.readAt())}`;
  return h(
    'header',
    { class: 'top' },
    h(
      'button',
      {
        type: 'button',
        class: 'menu',
        'aria-label': 'Pages',
        'aria-expanded': String(app.menuOpen),
        onclick: () => app.menu(!app.menuOpen),
      },
      '☰',
    ),
    h(
      'span',
      { class: 'row' },
      h('i', { class: `pulse ${state}` }),
      h('span', { class: 'soft' }, said),
    ),
    h('span', { class: 'room' }),
    app.vhosts.length > 1 &&
      select(
        'Virtual host',
        settings.vhost,
        [['', 'All'], ...app.vhosts.map((name) => [name, name])],
        (vhost) => app.choose({ vhost }),
      ),
    select(
      'Charts',
      String(settings.range),
      RANGES.map(([seconds, , words]) => [String(seconds), words]),
      (range) => app.choose({ range: Number(range) }),
    ),
    h('span', { class: 'soft who name' }, app.user.name),
    h('button', { type: 'button', class: 'plain wide', onclick: app.signOut }, 'Sign out'),
  );
}

function select(label, now, options, then) {
  return h(
    'label',
    { key: label },
    h('span', { class: 'wide' }, label),
    h(
      'select',
      {
        'aria-label': label,
        onchange: (event) => then(event.target.value),
      },
      options.map(([what, word]) =>
        h('option', { key: what, value: what, selected: what === now }, word),
      ),
    ),
  );
}

function banners(app, overview) {
  const list = [];
  if (app.poller.unreachable) {
    list.push(
      h(
        'div',
        { class: 'banner bad', role: 'alert', key: 'gone' },
        `The broker has not answered since ${time(app.poller.unreachable)}. ` +
          'What you see is from before; this page goes on trying.',
      ),
    );
  }
  for (const node of app.nodes() ?? []) {
    if (node.mem_alarm) list.push(alarm(node, 'memory is above its limit'));
    if (node.disk_free_alarm) list.push(alarm(node, 'free disk space is below its limit'));
  }
  if (overview?.disable_stats) {
    list.push(
      h('div', { class: 'banner', key: 'stats' }, 'Statistics are turned off on this broker.'),
    );
  }
  return list;
}

function alarm(node, what) {
  return h(
    'div',
    { class: 'banner bad', role: 'alert', key: `${node.name} ${what}` },
    `Alarm on ${node.name}: ${what}. Publishers are held back until it is over.`,
  );
}
