/** Owns the small parts that pages are put together from. They only describe; none keeps state. */
import { h } from './dom.js';
import { count, rate, value } from './format.js';
import { link } from './router.js';
import { exchangeLabel } from './format.js';

/** A page's head: where it is, its title, and what can be done. */
export function head(title, actions, crumb) {
  return h(
    'div',
    { class: 'head' },
    h(
      'div',
      null,
      crumb && h('div', { class: 'crumbs' }, crumb),
      h('h1', { class: 'name' }, title),
    ),
    h('span', { class: 'room' }),
    actions,
  );
}

/** A box with a heading. */
export function card(title, ...inside) {
  return h('section', { class: 'card' }, title && h('h2', null, title), inside);
}

/** Names and values. A value that is null is left out. */
export function facts(pairs) {
  return h(
    'dl',
    { class: 'facts' },
    pairs
      .filter(
        (pair) =>
          pair && pair[1] !== null && pair[1] !== undefined && pair[1] !== false && pair[1] !== '',
      )
      .map(([name, what]) => [h('dt', null, name), h('dd', null, what)]),
  );
}

/** The facts of a table of AMQP values, or a word if it is empty. */
export function amqpTable(table, none = 'None') {
  const entries = Object.entries(table ?? {});
  if (!entries.length) return h('span', { class: 'soft' }, none);
  return facts(entries.map(([name, what]) => [h('code', null, name), amqpValue(what)]));
}

// A table of flags, as clients' capabilities are, reads best as the names of those that are set.
function amqpValue(what) {
  const inside = what !== null && typeof what === 'object' ? Object.entries(what) : [];
  if (inside.length && inside.every(([, on]) => typeof on === 'boolean')) {
    const set = inside.filter(([, on]) => on);
    return h('span', { class: 'chips' }, set.length ? set.map(([name]) => chip(name)) : 'none');
  }
  return h('code', null, value(what));
}

/** A figure with what it counts, perhaps as a link. */
export function figure(number, label, href, kind) {
  return h(
    href ? 'a' : 'div',
    { class: 'figure', href },
    h('b', { class: kind }, number),
    h('span', null, label),
  );
}

/** A rounded word. */
export const chip = (text, kind, title) => h('span', { class: `chip ${kind ?? ''}`, title }, text);

/** What to say where there is nothing. */
export function empty(title, text, action) {
  return h(
    'div',
    { class: 'empty' },
    h('b', null, title),
    h('p', null, text),
    action && h('p', null, action),
  );
}

/** A count that steps back when it is nought. */
export const tally = (number) =>
  number ? count(number) : h('span', { class: 'zero' }, count(number));
/** A rate that steps back when it is nought. */
export function pace(number) {
  return number
    ? rate(number)
    : h('span', { class: 'zero' }, Number.isFinite(number) ? '0/s' : '–');
}

/** A link to a queue's page. */
export function queueLink(vhost, name, fields) {
  return h(
    'a',
    { class: 'name', href: link('queues', [vhost, name], fields), tabindex: '-1' },
    name,
  );
}

/** A link to an exchange's page. */
export function exchangeLink(vhost, name) {
  return h(
    'a',
    { class: 'name', href: link('exchanges', [vhost, name]), tabindex: '-1' },
    exchangeLabel(name),
  );
}

/** Tabs that live in the address. */
export function tabs(now, all, hrefOf) {
  return h(
    'div',
    { class: 'tabs', role: 'tablist' },
    all.filter(Boolean).map(([id, label]) =>
      h(
        'a',
        {
          role: 'tab',
          href: hrefOf(id),
          'aria-selected': String(id === now),
          key: id,
        },
        label,
      ),
    ),
  );
}

/** A labelled field. */
export function field(label, input, hint) {
  return h(
    'label',
    { class: 'field' },
    h('span', null, label),
    input,
    hint && h('small', null, hint),
  );
}

/** Inputs for limits, each a name and its label, with what holds at present. */
export function limitFields(named, limits) {
  return named.map(([limit, label]) =>
    field(
      label,
      h('input', {
        name: limit,
        type: 'number',
        min: '-1',
        value: String(limits[limit] ?? ''),
        placeholder: 'no limit',
      }),
    ),
  );
}

/** A choice of several words, or of [value, word]. */
export function choice(name, words, now, more) {
  return h(
    'select',
    { name, ...more },
    words.map((word) => {
      const [what, label] = Array.isArray(word) ? word : [word, word];
      return h('option', { value: what, selected: what === now, key: what }, label);
    }),
  );
}

/** A tick with a label. */
export function check(name, label, on, more) {
  return h(
    'label',
    { class: 'check' },
    h('input', { type: 'checkbox', name, checked: on, ...more }),
    label,
  );
}

/** The filter of a list; told to the page when the writing pauses. */
export function filterBox(now, onFilter, label = 'Filter by name') {
  let timer = null;
  return h('input', {
    type: 'search',
    value: now,
    placeholder: `${label}  /`,
    'aria-label': label,
    'data-filter': true,
    key: 'filter',
    autocomplete: 'off',
    spellcheck: 'false',
    maxlength: '255',
    oninput: (event) => {
      clearTimeout(timer);
      const text = event.target.value;
      timer = setTimeout(() => onFilter(text), 250);
    },
  });
}

/** What to show of a resource: its error, that it is being read, or what `draw` makes of it. */
export function when(context, name, draw) {
  const { data, error } = context.read(name);
  if (data !== undefined) return draw(data);
  if (error) {
    return empty(
      'This cannot be shown',
      error.message,
      h('button', { type: 'button', onclick: context.refresh }, 'Try again'),
    );
  }
  return h('p', { class: 'empty', role: 'status' }, 'Reading…');
}
