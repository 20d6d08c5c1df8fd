/**
 * Owns what a person chose for this browser: theme, interval, columns, virtual host. Nothing
 * secret is kept here; without storage the choices last until the page is left.
 */

const NAME = 'leveret';
const chosen = { theme: 'system', interval: 5, vhost: '', columns: {}, pageSize: 100, ...load() };

function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(NAME) || '{}');
    return kept && typeof kept === 'object' ? kept : {};
  } catch {
    return {};
  }
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
