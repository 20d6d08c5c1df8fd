/**
 * Owns what is done to messages of a queue: delete, move, redrive. First a dry run says how many
 * there are; then the person decides; then it goes on, step by step, until all are done or the
 * person stops it.
 */
import { h } from './dom.js';
import { path, post } from './api.js';
import { open, toast } from './dialog.js';
import { check, choice, field } from './parts.js';
import { count, counted } from './format.js';

const WORDS = {
  delete: ['Delete messages', 'Delete', 'will be deleted for good', 'deleted'],
  move: ['Move messages', 'Move', 'will be taken out of this queue and put elsewhere', 'moved'],
  redrive: [
    'Redrive messages',
    'Redrive',
    'will go back to the queue that each one was dead-lettered from',
    'redriven',
  ],
};
const STEP = 1000;

/** Asks, and does it. `selection` is `{positions}` or `{where}`. Gives whether it was done. */
export async function change(verb, vhost, queue, selection) {
  const [title, label, meaning, done] = WORDS[verb];
  const target = path('leveret', 'queues', vhost, queue, 'messages', verb);
  const state = { matched: null, failure: '', progress: null, stop: null };
  const result = await open({
    title: `${title} of “${queue}”`,
    label,
    danger: verb === 'delete',
    inside: (redraw) => {
      if (state.matched === null && !state.asked) look(target, selection, verb, state, redraw);
      return [
        summary(state, meaning, selection),
        verb === 'move' && destination(state, redraw),
        pace(state),
      ];
    },
    act: async (form, redraw) => {
      const body = { ...selection, ...wanted(form, verb) };
      if (form.get('dry')) {
        const answer = await post(target, { ...body, dry_run: true });
        state.said = `Dry run: ${counted(answer.matched, 'message')} would be ${done}.`;
        throw new Error(state.said);
      }
      state.stop = new AbortController();
      return run(target, body, state, redraw);
    },
  });
  state.stop?.abort();
  if (!result) return Boolean(state.progress);
  const number = verb === 'delete' ? result.deleted : result.moved;
  const refused = result.refused
    ? ` ${counted(result.refused, 'message')} could not be and stayed.`
    : '';
  toast(`${counted(number, 'message')} ${done}.${refused}`, result.refused > 0 && !number);
  return true;
}

async function look(target, selection, verb, state, redraw) {
  state.asked = true;
  try {
    const body = { ...selection, dry_run: true };
    if (verb === 'move') body.to = { exchange: '' }; // where to makes no difference to how many
    let matched = 0;
    let next = null;
    do {
      const answer = await post(target, next === null ? body : { ...body, from: next });
      matched += answer.matched;
      next = answer.next;
    } while (next !== null && matched < 1_000_000);
    state.matched = matched;
  } catch (error) {
    state.failure = error.message;
  }
  redraw();
}

function summary(state, meaning, selection) {
  if (state.progress) {
    const { seen, all } = state.progress;
    return h(
      'div',
      null,
      h('p', null, `${count(seen)} of ${count(all)}`),
      h('progress', { max: String(Math.max(1, all)), value: seen }),
    );
  }
  if (state.failure)
    return h('p', { class: 'note bad' }, `They could not be counted: ${state.failure}`);
  if (state.matched === null) return h('p', null, 'Counting what matches…');
  const how = selection.positions
    ? 'that you selected'
    : selection.where.length
      ? `where ${selection.where.join(' and ')}`
      : 'of this queue that are ready';
  return h('p', null, h('b', null, counted(state.matched, 'message')), ` ${how} ${meaning}.`);
}

function destination(state, redraw) {
  const kind = state.kind ?? 'queue';
  return h(
    'div',
    { class: 'form two' },
    field(
      'To',
      choice(
        'kind',
        [
          ['queue', 'a queue'],
          ['exchange', 'an exchange'],
        ],
        kind,
        {
          onchange: (event) => {
            state.kind = event.target.value;
            redraw();
          },
        },
      ),
    ),
    field('Its name', h('input', { name: 'to', required: kind === 'queue', 'data-first': true })),
    kind === 'exchange' &&
      field('Routing key', h('input', { name: 'key' }), 'Empty: each keeps its own'),
  );
}

function pace() {
  return h(
    'details',
    null,
    h('summary', null, 'How many, how fast'),
    h(
      'div',
      { class: 'form' },
      h(
        'div',
        { class: 'two' },
        field(
          'At most',
          h('input', { name: 'limit', type: 'number', min: '1', placeholder: 'all' }),
        ),
        field(
          'Messages a second',
          h('input', {
            name: 'rate',
            type: 'number',
            min: '1',
            placeholder: 'as fast as it goes',
          }),
        ),
      ),
      check('dry', 'Only count (dry run)', false),
    ),
  );
}

function wanted(form, verb) {
  const body = {};
  for (const name of ['limit', 'rate']) if (form.get(name)) body[name] = Number(form.get(name));
  if (verb === 'move') {
    body.to =
      form.get('kind') === 'queue'
        ? { queue: form.get('to') }
        : {
            exchange: form.get('to'),
            ...(form.get('key') ? { routing_key: form.get('key') } : {}),
          };
  }
  return body;
}

// In steps, so that there is progress to see and a closed dialog stops it.
async function run(target, body, state, redraw) {
  const total = { matched: 0, moved: 0, deleted: 0, refused: 0 };
  const most = Math.min(body.limit ?? Infinity, state.matched ?? Infinity);
  const step = Math.min(STEP, body.rate ?? STEP);
  let from = body.from;
  state.progress = { seen: 0, all: Number.isFinite(most) ? most : 0 };
  if (body.positions) {
    const answer = await post(target, body, state.stop.signal);
    return { ...total, ...answer };
  }
  while (total.matched < most) {
    const answer = await post(
      target,
      { ...body, from, limit: Math.min(step, most - total.matched) },
      state.stop.signal,
    );
    for (const name of Object.keys(total)) total[name] += answer[name] ?? 0;
    state.progress.seen = total.matched;
    redraw();
    if (answer.next === null || answer.next === undefined) break;
    from = answer.next;
  }
  return total;
}
