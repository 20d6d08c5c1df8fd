/* Sets the chosen theme before anything is painted. A plain script, so that it runs first. */
'use strict';
try {
  const theme = JSON.parse(localStorage.getItem('leveret') || '{}').theme;
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden: the system's theme holds then.
}
