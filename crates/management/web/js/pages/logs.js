/** The log's tail. New lines are asked for by the number of the last one; 2,000 are kept here. */
import { h } from '../dom.js';
import { get, query } from '../api.js';
import { date, time, value } from '../format.js';
import { card, check, chip, choice, empty, filterBox, head } from '../parts.js';
import { alter } from '../router.js';
import { settings } from '../settings.js';

const KEPT = 2000;
const SHOWN = 500;
const KINDS = { error: 'bad', warn: 'warn', warning: 'warn', info: 'good' };

export const logs = {
  title: () => 'Log',
  start: () => ({
    entries: [],
    last: 0,
    level: null,
    failure: '',
    timer: null,
    follow: true,
    busy: false,
  }),
  leave: ({ state }) => {
    clearTimeout(state.timer);
    state.left = true;
  },
  draw: (context) => {
    const { state, fields } = context;
    const level = fields.level ?? 'info';
    if (state.level !== level) {
      Object.assign(state, { level, entries: [], last: 0 });
      read(context);
    }
    const wanted = (fields.filter ?? '').toLowerCase();
    const found = state.entries.filter(
      (entry) => !wanted || text(entry).toLowerCase().includes(wanted),
    );
    return h(
      'div',
      null,
      head('Log'),
      h(
        'div',
        { class: 'tools' },
        filterBox(fields.filter ?? '', (filter) => alter({ filter }), 'Filter by text'),
        choice(
          'level',
          ['error', 'warn', 'info', 'debug', 'trace'].map((one) => [one, `${one} and above`]),
          level,
          {
            'aria-label': 'Least level',
            onchange: (event) => alter({ level: event.target.value }),
          },
        ),
        check('follow', 'Follow', state.follow, {
          onchange: (event) => {
            context.set({ follow: event.target.checked });
            if (state.follow) read(context);
          },
        }),
      ),
      state.failure && h('p', { class: 'note bad', role: 'alert' }, state.failure),
      found.length
        ? card('', h('ol', { class: 'log' }, found.slice(-SHOWN).reverse().map(line)))
        : empty(
            state.entries.length ? 'No line matches' : 'No lines yet',
            state.entries.length
              ? 'Change the filter or the level.'
              : 'What the broker writes to its log appears here, newest first.',
          ),
    );
  },
};

function text(entry) {
  return `${entry.level} ${entry.target} ${entry.message} ${Object.entries(entry.fields ?? {})
    .flat()
    .join(' ')}`;
}

function line(entry) {
  const fields = Object.entries(entry.fields ?? {});
  return h(
    'li',
    { key: entry.id },
    h(
      'time',
      { class: 'soft', title: date(entry.time), datetime: new Date(entry.time).toISOString() },
      time(entry.time),
    ),
    h('span', null, chip(entry.level, KINDS[entry.level])),
    h(
      'span',
      { class: 'text' },
      entry.message,
      ' ',
      h(
        'span',
        { class: 'fields' },
        fields.map(([name, what]) => `${name}=${value(what)} `),
        entry.target,
      ),
    ),
  );
}

async function read(context) {
  const { state } = context;
  clearTimeout(state.timer);
  if (state.left) return;
  const { level } = state;
  if (!document.hidden && !state.busy) {
    state.busy = true;
    try {
      const answer = await get(`/leveret/logs${query({ after: state.last, level, count: 500 })}`);
      if (state.level === level) {
        const entries = [...state.entries, ...answer.entries].slice(-KEPT);
        state.last = answer.last;
        context.set({ entries, failure: '' });
      }
    } catch (error) {
      context.set({ failure: error.message });
    }
    state.busy = false;
  }
  if (state.left) return;
  if (state.level !== level) read(context);
  else if (state.follow)
    state.timer = setTimeout(() => read(context), (settings.interval || 5) * 1000);
}
