/** Owns the page on which a person signs in. The password goes to the broker, and nowhere else. */
import { h } from './dom.js';
import { post } from './api.js';

/** The page; `app` is told when the session is there. */
export function login(app) {
  const submit = async (event) => {
    event.preventDefault();
    const form = event.target;
    const said = new FormData(form);
    app.door({ busy: true, failure: '' });
    try {
      await post('/leveret/session', {
        username: said.get('username'),
        password: said.get('password'),
      });
      form.reset();
      await app.enter();
    } catch (error) {
      app.door({ busy: false, failure: error.message });
      document.querySelector('input[name=password]')?.select();
    }
  };
  const { busy, failure } = app.doorState;
  return h(
    'main',
    { class: 'door', key: 'door' },
    h(
      'form',
      { onsubmit: submit },
      h(
        'div',
        { class: 'row' },
        h('img', { src: 'img/leveret.svg', alt: '' }),
        h(
          'div',
          null,
          h('h1', null, 'Leveret'),
          h('p', { class: 'soft' }, 'Sign in to your broker'),
        ),
      ),
      h(
        'label',
        { class: 'field' },
        h('span', null, 'User name'),
        h('input', {
          name: 'username',
          autocomplete: 'username',
          required: true,
          autofocus: true,
          autocapitalize: 'none',
          spellcheck: 'false',
          mount: (element) => element.focus(),
        }),
      ),
      h(
        'label',
        { class: 'field' },
        h('span', null, 'Password'),
        h('input', {
          name: 'password',
          type: 'password',
          autocomplete: 'current-password',
        }),
      ),
      failure && h('p', { class: 'note bad', role: 'alert' }, failure),
      h('button', { class: 'main', disabled: busy }, busy ? 'Signing in…' : 'Sign in'),
    ),
  );
}
