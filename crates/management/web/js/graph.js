/**
 * Owns the picture of bindings: sources on the left, what is looked at in the middle, destinations
 * on the right, a line for each end. Beyond 30 ends on a side it says how many more there are.
 */
import { h } from './dom.js';
import { link } from './router.js';
import { count, exchangeLabel } from './format.js';

const MOST = 30;
const ROW = 44;

/** Draws `incoming` and `outgoing` bindings of what is called `name`. */
export function graph(name, incoming, outgoing, { sides = 'both' } = {}) {
  const left = sides === 'right' ? null : ends(incoming, 'source');
  const right = sides === 'left' ? null : ends(outgoing, 'destination');
  const rows = Math.max(left?.shown.length ?? 0, right?.shown.length ?? 0, 1);
  const plan = left && right ? 'plan' : left ? 'plan left' : 'plan right';
  return h(
    'div',
    { class: 'graph', tabindex: '0', role: 'group', 'aria-label': 'Picture of bindings' },
    h(
      'div',
      { class: plan },
      left && [column(left, 'Nothing is bound to it'), lines(left.shown.length, rows, false)],
      h('div', { class: 'hub name' }, exchangeLabel(name)),
      right && [lines(right.shown.length, rows, true), column(right, 'Nothing is bound')],
    ),
    more(left, 'sources'),
    more(right, 'destinations'),
  );
}

function ends(bindings, side) {
  const groups = new Map();
  for (const binding of bindings) {
    const kind = side === 'source' ? 'exchange' : binding.destination_type;
    const key = `${kind} ${binding[side]}`;
    const group = groups.get(key) ?? {
      key,
      kind,
      name: binding[side],
      vhost: binding.vhost,
      keys: [],
    };
    group.keys.push(describe(binding));
    groups.set(key, group);
  }
  const all = [...groups.values()];
  return { shown: all.slice(0, MOST), hidden: Math.max(0, all.length - MOST) };
}

function describe(binding) {
  const table = Object.keys(binding.arguments ?? {}).length
    ? ` ${JSON.stringify(binding.arguments)}`
    : '';
  return `${binding.routing_key || (table ? '' : '(any or empty key)')}${table}`.trim();
}

function column(side, none) {
  if (!side.shown.length) {
    return h('div', { class: 'end' }, h('span', { class: 'soft' }, none));
  }
  return h(
    'div',
    null,
    side.shown.map((group) => {
      const keys =
        group.keys.length > 3
          ? `${group.keys.slice(0, 3).join('  ')} + ${group.keys.length - 3}`
          : group.keys.join('  ');
      const page = group.kind === 'queue' ? 'queues' : 'exchanges';
      return h(
        'div',
        { class: `end ${group.kind}`, key: group.key },
        h(
          'a',
          { href: link(page, [group.vhost, group.name]), title: `${group.kind}: ${group.name}` },
          h('b', { class: 'name' }, exchangeLabel(group.name)),
          h('small', null, keys),
        ),
      );
    }),
  );
}

// Both ends of a line are at heights that are known, as every row is as high as the next.
function lines(number, rows, outwards) {
  const height = rows * ROW;
  const middle = height / 2;
  const from = (height - number * ROW) / 2;
  const paths = [];
  for (let row = 0; row < number; row += 1) {
    const y = from + row * ROW + ROW / 2;
    paths.push(
      h('path', {
        d: outwards
          ? `M0 ${middle}C50 ${middle} 50 ${y} 100 ${y}`
          : `M0 ${y}C50 ${y} 50 ${middle} 100 ${middle}`,
      }),
    );
  }
  return h(
    'svg',
    {
      viewBox: `0 0 100 ${height}`,
      height: String(height),
      preserveAspectRatio: 'none',
      'aria-hidden': 'true',
    },
    paths,
  );
}

function more(side, what) {
  return side?.hidden
    ? h(
        'p',
        { class: 'soft small' },
        `${count(side.hidden)} more ${what} are not drawn; the table has them all.`,
      )
    : null;
}
