/** The list of users. */
import { h } from '../dom.js';
import { path, put } from '../api.js';
import { open, toast } from '../dialog.js';
import { count } from '../format.js';
import { local } from '../lists.js';
import { check, chip, empty, field, head, when } from '../parts.js';
import { go, link } from '../router.js';
import { TAGS } from '../vocabulary.js';

/** A user's tags as a list. */
export const tagsOf = (user) =>
  (Array.isArray(user.tags) ? user.tags : String(user.tags ?? '').split(',')).filter(Boolean);

export const users = {
  title: () => 'Users',
  reads: () => ({ users: '/users', permissions: '/permissions' }),
  draw: (context) =>
    h(
      'div',
      null,
      head(
        'Users',
        h(
          'button',
          { type: 'button', class: 'main', 'data-new': true, onclick: () => add() },
          'Add a user',
        ),
      ),
      when(context, 'users', (rows) =>
        local(context, {
          label: 'Users',
          rows,
          columns: columns(context),
          keyOf: (one) => one.name,
          text: (one) => `${one.name} ${tagsOf(one).join(' ')}`,
          href: (one) => link('users', [one.name]),
          none: empty('There are no users', 'Nobody can sign in until there is one.'),
        }),
      ),
    ),
};

function columns(context) {
  const permissions = context.read('permissions').data ?? [];
  return [
    {
      id: 'name',
      label: 'Name',
      sort: 'name',
      wide: true,
      cell: (one) =>
        h('a', { class: 'name', href: link('users', [one.name]), tabindex: '-1' }, one.name),
    },
    {
      id: 'tags',
      label: 'Tags',
      cell: (one) =>
        h(
          'span',
          { class: 'chips' },
          tagsOf(one).map((tag) => chip(tag, tag === 'administrator' ? 'warn' : '')),
        ),
    },
    {
      id: 'vhosts',
      label: 'May enter',
      cell: (one) => {
        const names = permissions
          .filter((entry) => entry.user === one.name)
          .map((entry) => entry.vhost);
        return names.length
          ? names.slice(0, 6).join(', ') + (names.length > 6 ? ` and ${names.length - 6} more` : '')
          : h('span', { class: 'warn' }, 'no virtual host');
      },
    },
    {
      id: 'password',
      label: 'Password',
      cell: (one) => (one.password_hash ? 'yes' : h('span', { class: 'soft' }, 'none')),
    },
    {
      id: 'limits',
      label: 'Limits',
      cell: (one) =>
        Object.entries(one.limits ?? {})
          .map(([name, what]) => `${name}: ${count(what)}`)
          .join(', '),
    },
  ];
}

/** The part of a form that chooses tags. */
export function tagFields(now) {
  const own = now.filter((tag) => !TAGS.some(([known]) => known === tag));
  return [
    h(
      'fieldset',
      { class: 'field' },
      h('span', null, 'Tags'),
      TAGS.map(([tag, meaning]) => check(`tag-${tag}`, `${tag}: ${meaning}`, now.includes(tag))),
    ),
    field('Other tags', h('input', { name: 'tags', value: own.join(',') }), 'Divided by commas'),
  ];
}

/** The tags that were chosen in a form. */
export function chosenTags(form) {
  return [
    ...TAGS.map(([tag]) => tag).filter((tag) => form.get(`tag-${tag}`)),
    ...form
      .get('tags')
      .split(',')
      .map((tag) => tag.trim())
      .filter(Boolean),
  ].join(',');
}

async function add() {
  const name = await open({
    title: 'Add a user',
    label: 'Add',
    inside: () =>
      h(
        'div',
        { class: 'form' },
        field(
          'Name',
          h('input', { name: 'name', required: true, autocomplete: 'off', spellcheck: 'false' }),
        ),
        h(
          'div',
          { class: 'two' },
          field(
            'Password',
            h('input', { name: 'password', type: 'password', autocomplete: 'new-password' }),
            'Empty: cannot sign in by password',
          ),
          field(
            'Again',
            h('input', { name: 'again', type: 'password', autocomplete: 'new-password' }),
          ),
        ),
        tagFields([]),
      ),
    act: async (form) => {
      if (form.get('password') !== form.get('again')) throw new Error('The two passwords differ.');
      const secret = form.get('password')
        ? { password: form.get('password') }
        : { password_hash: '' };
      await put(path('users', form.get('name')), { ...secret, tags: chosenTags(form) });
      return form.get('name');
    },
  });
  if (!name) return;
  go(link('users', [name]));
  toast(`The user “${name}” is there. It may enter no virtual host yet: add a permission.`);
}
