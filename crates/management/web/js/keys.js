/**
 * Owns the keyboard: `/` goes to the filter, `g` and a letter to a page, `?` shows the keys, `r`
 * reads anew, arrows walk through tables, Enter opens, Escape closes. Nothing is taken from a
 * field that is being written in, or from a key held with Ctrl, Alt or Meta.
 */
import { h } from './dom.js';
import { open } from './dialog.js';
import { go, link } from './router.js';

const PAGES = {
  o: ['overview', 'Overview'],
  q: ['queues', 'Queues'],
  e: ['exchanges', 'Exchanges'],
  c: ['connections', 'Connections'],
  h: ['channels', 'Channels'],
  d: ['dead-letters', 'Dead letters'],
  p: ['policies', 'Policies'],
  v: ['vhosts', 'Virtual hosts'],
  u: ['users', 'Users'],
  f: ['definitions', 'Definitions'],
  l: ['logs', 'Log'],
};

let pending = 0;

/** Listens from now on. `refresh` reads the page anew. */
export function listen(refresh) {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    const writing = event.target.closest?.('input, textarea, select, [contenteditable]');
    if (event.key === 'Escape' && writing && !event.target.closest('dialog')) {
      event.target.blur();
      return;
    }
    if (writing || event.target.closest?.('dialog')) return;
    if (pending && Date.now() - pending < 1500) {
      pending = 0;
      const page = PAGES[event.key];
      if (page) {
        event.preventDefault();
        go(link(page[0]));
      }
      return;
    }
    press(event, refresh);
  });
}

function press(event, refresh) {
  if (event.key === 'g') pending = Date.now();
  else if (event.key === '/') {
    const filter = document.querySelector('main [data-filter]');
    if (!filter) return;
    event.preventDefault();
    filter.focus();
    filter.select?.();
  } else if (event.key === '?') showKeys();
  else if (event.key === 'r') refresh();
  else if (event.key === 'n') document.querySelector('main [data-new]')?.click();
  else if (event.key === 'j' || event.key === 'k' || event.key === 'ArrowDown') {
    if (
      !document.activeElement ||
      document.activeElement === document.body ||
      document.activeElement.tagName === 'MAIN'
    ) {
      const row = document.querySelector('main tbody tr[tabindex]');
      if (row) {
        event.preventDefault();
        row.focus();
      }
    }
  }
}

/** Shows which keys do what. */
export function showKeys() {
  const line = (keys, text) => [
    h(
      'span',
      null,
      keys.map((key) => [h('kbd', null, key), ' ']),
    ),
    h('span', null, text),
  ];
  open({
    title: 'Keys',
    inside: () =>
      h(
        'div',
        { class: 'keys' },
        line(['/'], 'go to the filter'),
        line(['n'], 'add a new one'),
        line(['r'], 'read the page anew'),
        line(['↓', '↑'], 'walk through a table (also j and k)'),
        line(['Home', 'End'], 'its first and last row'),
        line(['Enter'], 'open the row'),
        line(['Space'], 'select the row'),
        line(['Esc'], 'close, or leave a field'),
        line(['?'], 'show these keys'),
        Object.entries(PAGES).map(([key, [, label]]) => line(['g', key], label)),
      ),
  });
}
