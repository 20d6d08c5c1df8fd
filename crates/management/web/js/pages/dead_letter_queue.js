/** One queue on the dead-letter desk: its messages by reason and source; redrive, move, delete. */
import { h } from '../dom.js';
import { path } from '../api.js';
import { Browse } from '../browse.js';
import { count, span } from '../format.js';
import { empty, figure, head, when } from '../parts.js';
import { link } from '../router.js';
import { REASONS } from '../vocabulary.js';
import { tallies } from './dead_letters.js';

export const deadLetterQueue = {
  title: ({ parts }) => `Dead letters in ${parts[1]}`,
  start: (context) => ({
    seen: { reason: new Map(), queue: new Map() },
    browse: new Browse(context.parts[0], context.parts[1], () => context.set({})),
  }),
  leave: ({ state }) => state.browse.close(),
  reads: ({ parts }) => ({ queue: path('queues', ...parts) }),
  draw: (context) => when(context, 'queue', (data) => page(context, data)),
};

function page(context, data) {
  const [vhost, name] = context.parts;
  const { browse } = context.state;
  return h(
    'div',
    { class: 'stack' },
    head(name, h('a', { href: link('queues', [vhost, name]) }, 'The queue itself'), [
      h('a', { href: link('dead-letters') }, 'Dead letters'),
      ' in ',
      h('b', { class: 'name' }, vhost),
    ]),
    h(
      'div',
      { class: 'figures' },
      figure(count(data.messages_ready), 'ready'),
      figure(
        Number.isFinite(data.oldest_ready_age_ms) ? span(data.oldest_ready_age_ms) : '–',
        'oldest',
      ),
    ),
    chips(context, 'reason', 'Why'),
    chips(context, 'queue', 'From'),
    browse.draw({
      none: empty(
        'No dead letters',
        'Whatever is refused, expired or dropped by the queues that ' +
          'dead-letter here will appear.',
      ),
    }),
  );
}

// Words once seen stay, so that narrowing to one does not take the others away.
function chips(context, what, label) {
  const { browse, seen } = context.state;
  const now = tallies(browse.messages)[what];
  for (const [word, number] of now)
    seen[what].set(word, Math.max(number, seen[what].get(word) ?? 0));
  if (!seen[what].size) return null;
  const field = `headers.x-first-death-${what}`;
  return h(
    'div',
    { class: 'row' },
    h('span', { class: 'soft' }, label),
    [...seen[what]].map(([word, number]) =>
      h(
        'button',
        {
          key: word,
          type: 'button',
          class: 'chip name',
          title: REASONS[word],
          'aria-pressed': String(browse.where.has(field, word)),
          onclick: () => {
            browse.where.toggle(field, word);
            browse.start();
          },
        },
        `${word} `,
        h('b', null, count(number)),
      ),
    ),
  );
}
