/**
 * Owns how lists are shown: sorted by a press on a heading, walked through with arrows, opened
 * with Enter, selected with Space. The order is the server's or is made here, as the page says.
 */
import { h } from './dom.js';
import { open } from './dialog.js';
import { settings, choose } from './settings.js';
import { count } from './format.js';

/**
 * A table. Columns: `{id, label, cell(row), sort?, num?, wide?, long?, value?(row)}`. `order` is
 * `{by, reverse}`, `onOrder` is told of another one. `href(row)` is where Enter goes.
 * `picked` is a Set of keys; with `onPick` rows can be selected: it is given
 * what makes the new Set of the one at that time. With `memo`, a WeakMap, rows that did not change
 * are not described anew.
 */
export function table(given) {
  const { columns, rows, keyOf, order, onOrder, picked, onPick, label } = given;
  const heads = columns.map((column) => heading(column, order, onOrder));
  if (onPick) heads.unshift(pickAll(rows, keyOf, picked, onPick));
  return h(
    'div',
    { class: 'tablebox fold' },
    h(
      'table',
      { 'aria-label': label },
      h('thead', null, h('tr', null, heads)),
      h(
        'tbody',
        { onkeydown: walk },
        rows.map((row, at) => kept(row, at, given)),
      ),
    ),
  );
}

// A row whose object and looks are as they were is described by what described it before, so that
// drawing passes over it. Only lists whose cells depend on nothing but the row ask for that.
function kept(row, at, given) {
  const { memo, columns, picked, keyOf } = given;
  if (!memo) return line(row, at, given);
  const chosen = Boolean(picked?.has(keyOf(row)));
  const looks = `${at === 0} ${chosen} ${columns.map((column) => column.id).join()}`;
  const before = memo.get(row);
  if (before?.looks === looks) return before.description;
  const description = line(row, at, given);
  memo.set(row, { looks, description });
  return description;
}

function line(row, at, { columns, keyOf, href, picked, onPick }) {
  const key = keyOf(row);
  const chosen = Boolean(picked?.has(key));
  return h(
    'tr',
    {
      key,
      tabindex: at === 0 ? '0' : '-1',
      'data-href': href?.(row),
      'aria-selected': onPick ? String(chosen) : undefined,
      onfocus: roam,
    },
    onPick &&
      h(
        'td',
        { class: 'pick' },
        h('input', {
          type: 'checkbox',
          checked: chosen,
          'aria-label': `Select ${key}`,
          tabindex: '-1',
          onchange: (event) => onPick((now) => toggled(now, key, event.target.checked)),
        }),
      ),
    columns.map((column) => cell(column, row)),
  );
}

function cell(column, row) {
  const content = column.cell(row);
  const blank = content === '' || content === null || content === undefined;
  const kind = [
    column.num && 'num',
    column.wide && 'wide',
    column.long && 'long',
    blank && 'blank',
  ].filter(Boolean);
  return h(
    'td',
    { class: kind.join(' ') || undefined, 'data-label': column.label },
    Array.isArray(content) ? h('div', null, content) : content,
  );
}

function toggled(picked, key, on) {
  const next = new Set(picked);
  if (on) next.add(key);
  else next.delete(key);
  return next;
}

function pickAll(rows, keyOf, picked, onPick) {
  const all = rows.length > 0 && rows.every((row) => picked.has(keyOf(row)));
  return h(
    'th',
    { class: 'pick' },
    h('input', {
      type: 'checkbox',
      checked: all,
      indeterminate: !all && picked.size > 0,
      'aria-label': 'Select all that are shown',
      onchange: (event) => onPick(() => new Set(event.target.checked ? rows.map(keyOf) : [])),
    }),
  );
}

function heading(column, order, onOrder) {
  const by = column.sort;
  const sorted = order && by && order.by === by;
  const turn = sorted ? !order.reverse : Boolean(column.num);
  return h(
    'th',
    {
      scope: 'col',
      class: column.num ? 'num' : undefined,
      'aria-sort': sorted ? (order.reverse ? 'descending' : 'ascending') : undefined,
    },
    by && onOrder
      ? h('button', { type: 'button', onclick: () => onOrder({ by, reverse: turn }) }, column.label)
      : column.label,
  );
}

function roam(event) {
  const row = event.currentTarget;
  for (const other of row.parentNode.children) other.tabIndex = other === row ? 0 : -1;
}

function walk(event) {
  const row = event.target.closest('tr');
  if (event.target !== row || event.ctrlKey || event.altKey || event.metaKey) return;
  const target = {
    ArrowDown: row.nextElementSibling,
    j: row.nextElementSibling,
    ArrowUp: row.previousElementSibling,
    k: row.previousElementSibling,
    Home: row.parentNode.firstElementChild,
    End: row.parentNode.lastElementChild,
  }[event.key];
  if (target) target.focus();
  else if (event.key === 'Enter' && row.dataset.href) location.hash = row.dataset.href;
  else if (event.key === ' ' && row.querySelector('input[type=checkbox]')) {
    row.querySelector('input[type=checkbox]').click();
  } else return;
  event.preventDefault();
  event.stopPropagation();
}

/** The rows in the order that is asked for, by a column's `value` or the row's own key. */
export function sorted(rows, columns, order) {
  const column = columns.find((one) => one.sort === order.by);
  if (!column) return rows;
  const value = column.value ?? ((row) => row[column.sort]);
  const turn = order.reverse ? -1 : 1;
  return [...rows].sort((a, b) => turn * compare(value(a), value(b)));
}

function compare(a, b) {
  if (typeof a === 'number' || typeof b === 'number') return (a ?? -1) - (b ?? -1);
  return String(a ?? '').localeCompare(String(b ?? ''), 'en', { numeric: true });
}

/** The columns that the person wants to see in the table called `id`. */
export function shownColumns(id, columns) {
  const wanted = settings.columns[id];
  if (!wanted) return columns.filter((column) => !column.extra);
  return columns.filter((column) => column.fixed || wanted.includes(column.id));
}

/** A button that lets the person choose the columns of the table called `id`. */
export function columnsButton(id, columns, changed) {
  const choice = async () => {
    const now = new Set(shownColumns(id, columns).map((column) => column.id));
    await open({
      title: 'Columns',
      label: 'Show these',
      inside: () =>
        h(
          'div',
          { class: 'form two' },
          columns.map((column) =>
            h(
              'label',
              { class: 'check' },
              h('input', {
                type: 'checkbox',
                name: column.id,
                checked: column.fixed || now.has(column.id),
                disabled: Boolean(column.fixed),
              }),
              column.full ?? column.label,
            ),
          ),
        ),
      act: (form) => {
        choose({ columns: { ...settings.columns, [id]: [...form.keys()] } });
        changed();
      },
    });
  };
  return h('button', { type: 'button', onclick: choice }, 'Columns');
}

/** The line below a list that the server pages: which page, how many, and steps. */
export function pager(list, onPage) {
  if (!list || list.page_count === undefined) return null;
  const page = list.page;
  const last = Math.max(1, list.page_count);
  const step = (to, label, text) =>
    h(
      'button',
      {
        type: 'button',
        disabled: to < 1 || to > last || to === page,
        'aria-label': label,
        onclick: () => onPage(to),
      },
      text,
    );
  const found =
    list.filtered_count === list.total_count
      ? count(list.total_count)
      : `${count(list.filtered_count)} of ${count(list.total_count)}`;
  return h(
    'nav',
    { class: 'pages', 'aria-label': 'Pages' },
    step(1, 'First page', '«'),
    step(page - 1, 'Previous page', '‹'),
    h(
      'label',
      null,
      'Page ',
      h('input', {
        type: 'number',
        min: '1',
        max: String(last),
        value: String(page),
        'aria-label': 'Page',
        onchange: (event) => onPage(Math.min(last, Math.max(1, Number(event.target.value) || 1))),
      }),
      ` of ${count(last)}`,
    ),
    step(page + 1, 'Next page', '›'),
    step(last, 'Last page', '»'),
    h('span', { class: 'soft' }, `${found} in all`),
  );
}
