/**
 * Owns questions to the person and short notices. A dialog is the browser's own: it holds the
 * focus, and Escape closes it. Nothing is destroyed without one that says what and how many.
 */
import { h, render } from './dom.js';

/**
 * Opens a dialog and waits. `inside` is called to draw it and may be drawn anew by the `redraw`
 * it is given; `act` runs on the main button, and what it throws is shown and leaves it open, as
 * `keep` does always.
 * Resolves to what `act` gave, or undefined if it was closed.
 */
export function open({ title, inside, act, label = 'Save', danger, wide, keep }) {
  return new Promise((resolve) => {
    const dialog = document.createElement('dialog');
    const before = document.activeElement;
    let failure = '';
    let busy = false;
    let result;
    const redraw = () => render(dialog, frame());
    const submit = async (event) => {
      event.preventDefault();
      if (busy || !act) return act ? undefined : dialog.close();
      busy = true;
      failure = '';
      redraw();
      try {
        result = await act(new FormData(event.target), redraw);
        if (!keep) dialog.close();
      } catch (error) {
        failure = error.message;
      }
      busy = false;
      return redraw();
    };
    const frame = () =>
      h(
        'form',
        { onsubmit: submit, novalidate: false },
        h('header', null, h('h1', { id: 'dialog-title' }, title)),
        h(
          'div',
          { class: 'inside' },
          inside(redraw),
          failure && h('p', { class: 'note bad', role: 'alert' }, failure),
        ),
        h(
          'footer',
          null,
          h('button', { type: 'button', onclick: () => dialog.close() }, act ? 'Cancel' : 'Close'),
          act &&
            h(
              'button',
              { class: danger ? 'danger main' : 'main', disabled: busy },
              busy ? 'Working…' : label,
            ),
        ),
      );
    if (wide) dialog.className = 'wide';
    dialog.setAttribute('aria-labelledby', 'dialog-title');
    redraw();
    document.body.append(dialog);
    dialog.addEventListener('close', () => {
      render(dialog);
      dialog.remove();
      before?.focus?.();
      resolve(result);
    });
    dialog.showModal();
    dialog.querySelector('[data-first], .inside input, .inside select, .inside textarea')?.focus();
  });
}

/** Asks before something that cannot be undone. Runs `act`, says what it returned. */
export async function confirm({ title, body, label, act }) {
  let done = false;
  const said = await open({
    title,
    label,
    danger: true,
    inside: () => (Array.isArray(body) ? body : h('p', null, body)),
    act: async (...given) => {
      const text = await act(...given);
      done = true;
      return text;
    },
  });
  if (done && said) toast(said);
  return done;
}

const shown = [];

/** Says briefly what was done, or, as `bad`, what was not. */
export function toast(text, bad = false) {
  const one = { text, bad, key: `${Date.now()}-${Math.random()}` };
  shown.push(one);
  if (shown.length > 4) shown.shift();
  drawToasts();
  const said = document.getElementById('announce');
  if (said) said.textContent = text;
  setTimeout(() => drop(one), bad ? 12_000 : 6_000);
}

function drop(one) {
  const at = shown.indexOf(one);
  if (at >= 0) shown.splice(at, 1);
  drawToasts();
}

function drawToasts() {
  let box = document.querySelector('.toasts');
  if (!box) {
    box = document.createElement('div');
    box.className = 'toasts';
    document.body.append(box);
  }
  render(
    box,
    shown.map((one) =>
      h(
        'div',
        { key: one.key, class: one.bad ? 'toast bad' : 'toast' },
        h('span', null, one.text),
        h('button', { class: 'plain', 'aria-label': 'Dismiss', onclick: () => drop(one) }, '×'),
      ),
    ),
  );
}

/** Runs something that a button asked for; says what came of it. Gives whether it went well. */
export async function attempt(act) {
  try {
    const text = await act();
    if (text) toast(text);
    return true;
  } catch (error) {
    if (error.name !== 'AbortError') toast(error.message, true);
    return false;
  }
}
