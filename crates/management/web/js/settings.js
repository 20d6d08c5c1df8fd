/**
 * Owns what a person chose for this browser: theme, interval, columns, virtual host. Nothing
 * secret is kept here; without storage the choices last until the page is left.
 */

const NAME = 'leveret';
const chosen = {
  theme: 'system',
  interval: 5,
  range: 600,
  vhost: '',
  columns: {},
  pageSize: 100,
  ...load(),
};

function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(NAME) || '{}');
    return kept && typeof kept === 'object' ? kept : {};
  } catch {
    return {};
  }
}

/** How far charts go back: seconds, between samples, in words. */
export const RANGES = [
  [600, 5, '10 minutes'],
  [3600, 60, 'an hour'],
  [86_400, 300, 'a day'],
];

/** The fields of a query for the history of `kinds` (`msg_rates`, `lengths`, …). */
export function historyOf(...kinds) {
  const [age, incr] = RANGES.find(([seconds]) => seconds === chosen.range) ?? RANGES[0];
  return Object.fromEntries(
    kinds.flatMap((kind) => [
      [`${kind}_age`, age],
      [`${kind}_incr`, incr],
    ]),
  );
}

/** The choices as they are. */
export const settings = chosen;

/** Changes some choices, and remembers them. */
export function choose(changes) {
  Object.assign(chosen, changes);
  try {
    localStorage.setItem(NAME, JSON.stringify(chosen));
  } catch {
    // Storage may be forbidden.
  }
  const root = document.documentElement;
  if (chosen.theme === 'system') delete root.dataset.theme;
  else root.dataset.theme = chosen.theme;
}
