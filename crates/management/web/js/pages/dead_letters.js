/**
 * The dead-letter desk: every queue that others dead-letter to, how much is in it, and why. Reasons
 * are read once, from the first messages of each; nothing is taken out for that.
 */
import { h } from '../dom.js';
import { get, path, query } from '../api.js';
import { count, counted, span } from '../format.js';
import { headersOf } from '../message.js';
import { chip, empty, head, tally, when } from '../parts.js';
import { link } from '../router.js';
import { table } from '../table.js';
import { REASONS } from '../vocabulary.js';

const LOOKED_AT = 100; // messages of a queue that its reasons are read from
const QUEUES = 20; // queues whose reasons are read

const keyOf = (queue) => `${queue.vhost}\n${queue.name}`;

export const deadLetters = {
  title: () => 'Dead letters',
  start: () => ({ reasons: new Map(), control: new AbortController() }),
  leave: ({ state }) => state.control.abort(),
  // Sorted by the mark itself, so that the marked ones are on the first page, however many others.
  reads: (context) => ({
    list:
      context.scoped('queues') +
      query({
        page: 1,
        page_size: 500,
        sort: 'dead_letter_queue',
        sort_reverse: 'true',
        columns: 'name,vhost,messages,messages_ready,dead_letter_queue,oldest_ready_age_ms,type',
      }),
  }),
  draw: (context) =>
    h(
      'div',
      null,
      head(
        'Dead letters',
        h(
          'button',
          {
            type: 'button',
            onclick: () => {
              context.state.reasons.clear();
              context.refresh();
            },
          },
          'Read the reasons anew',
        ),
      ),
      when(context, 'list', (list) =>
        desk(
          context,
          list.items.filter((one) => one.dead_letter_queue),
        ),
      ),
    ),
};

function desk(context, queues) {
  if (!queues.length) {
    return empty(
      'No queue receives dead letters',
      'Give a queue the argument x-dead-letter-exchange, or the ' +
        'policy key dead-letter-exchange, and the queues bound there appear on this desk.',
    );
  }
  const filled = queues.filter((queue) => queue.messages_ready > 0);
  filled.sort((a, b) => b.messages_ready - a.messages_ready);
  for (const queue of filled.slice(0, QUEUES)) look(context, queue);
  const all = filled.reduce((sum, queue) => sum + queue.messages_ready, 0);
  return h(
    'div',
    { class: 'stack' },
    h(
      'p',
      { class: 'soft' },
      all
        ? `${counted(all, 'message')} in ${counted(filled.length, 'queue')}.`
        : 'All dead-letter queues are empty.',
    ),
    table({
      label: 'Dead-letter queues',
      columns: columns(context),
      rows: [...filled, ...queues.filter((queue) => !filled.includes(queue))],
      keyOf,
      href: (queue) => link('dead-letters', [queue.vhost, queue.name]),
    }),
  );
}

function columns(context) {
  return [
    {
      id: 'name',
      label: 'Queue',
      wide: true,
      cell: (queue) =>
        h(
          'a',
          {
            class: 'name',
            href: link('dead-letters', [queue.vhost, queue.name]),
            tabindex: '-1',
          },
          queue.name,
        ),
    },
    { id: 'vhost', label: 'Virtual host', cell: (queue) => queue.vhost },
    { id: 'ready', label: 'Messages', num: true, cell: (queue) => tally(queue.messages_ready) },
    {
      id: 'age',
      label: 'Oldest',
      num: true,
      cell: (queue) =>
        Number.isFinite(queue.oldest_ready_age_ms) ? span(queue.oldest_ready_age_ms) : '',
    },
    {
      id: 'why',
      label: 'Why, of the first',
      long: true,
      cell: (queue) => parts(context, queue, 'reason'),
    },
    { id: 'from', label: 'From', long: true, cell: (queue) => parts(context, queue, 'queue') },
  ];
}

function parts(context, queue, what) {
  const known = context.state.reasons.get(keyOf(queue));
  if (!known?.[what]) return '';
  return h(
    'span',
    { class: 'chips' },
    [...known[what]]
      .sort((a, b) => b[1] - a[1])
      .slice(0, 4)
      .map(([word, number]) =>
        chip(`${word} ${count(number)}`, what === 'reason' ? 'warn' : '', REASONS[word]),
      ),
  );
}

async function look(context, queue) {
  const { reasons, control } = context.state;
  const key = keyOf(queue);
  if (reasons.has(key)) return;
  reasons.set(key, {});
  try {
    const answer = await get(
      path('leveret', 'queues', queue.vhost, queue.name, 'messages') +
        query({ count: LOOKED_AT, truncate: 1 }),
      control.signal,
    );
    reasons.set(key, tallies(answer.messages));
  } catch {
    return; // the counts alone are shown; the queue's own page will say what is wrong
  }
  context.set({});
}

/** How many of these messages came for which reason, and from which queue. */
export function tallies(messages) {
  const result = { reason: new Map(), queue: new Map() };
  for (const message of messages) {
    const headers = headersOf(message);
    for (const [what, counts] of Object.entries(result)) {
      const word = headers[`x-first-death-${what}`];
      if (word !== undefined) counts.set(String(word), (counts.get(String(word)) ?? 0) + 1);
    }
  }
  return result;
}
