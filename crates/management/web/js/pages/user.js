/** The page of one user: password, tags, permissions, topic permissions, limits. */
import { h } from '../dom.js';
import { path, put, remove } from '../api.js';
import { confirm, open, toast } from '../dialog.js';
import { card, chip, choice, empty, facts, field, head, limitFields, when } from '../parts.js';
import { go, link } from '../router.js';
import { table } from '../table.js';
import { count } from '../format.js';
import { chosenTags, tagFields, tagsOf } from './users.js';

const LIMITS = [
  ['max-connections', 'Connections at most'],
  ['max-channels', 'Channels at most'],
];

export const user = {
  title: ({ parts }) => parts[0],
  reads: ({ parts }) => {
    const at = path('users', parts[0]);
    return { user: at, permissions: `${at}/permissions`, topics: `${at}/topic-permissions` };
  },
  draw: (context) => when(context, 'user', (data) => page(context, data)),
};

function page(context, data) {
  const limits = Object.entries(data.limits ?? {});
  return h(
    'div',
    { class: 'stack' },
    head(
      data.name,
      [
        h('button', { type: 'button', onclick: () => edit(context, data) }, 'Tags and limits…'),
        h('button', { type: 'button', onclick: () => password(context, data) }, 'Password…'),
        h(
          'button',
          { type: 'button', class: 'danger', onclick: () => drop(context, data) },
          'Delete…',
        ),
      ],
      h('a', { href: link('users') }, 'Users'),
    ),
    card(
      '',
      facts([
        [
          'Tags',
          tagsOf(data).length
            ? h(
                'span',
                { class: 'chips' },
                tagsOf(data).map((tag) => chip(tag)),
              )
            : 'none: may not use these pages',
        ],
        ['Password', data.password_hash ? 'kept as a salted hash' : 'none'],
        [
          'Limits',
          limits.length
            ? limits.map(([name, what]) => `${name}: ${count(what)}`).join(', ')
            : 'none',
        ],
      ]),
    ),
    section(
      context,
      'permissions',
      'Permissions',
      permit,
      [
        ['vhost', 'Virtual host'],
        ['configure', 'Configure'],
        ['write', 'Write'],
        ['read', 'Read'],
      ],
      empty('May enter no virtual host', 'Add a permission to let this user in.'),
    ),
    section(
      context,
      'topics',
      'Topic permissions',
      permitTopic,
      [
        ['vhost', 'Virtual host'],
        ['exchange', 'Exchange'],
        ['write', 'Write keys'],
        ['read', 'Read keys'],
      ],
      empty(
        'No topic permissions',
        'All routing keys are allowed where the permissions allow the exchange.',
      ),
    ),
  );
}

function section(context, name, title, change, fields, none) {
  const columns = [
    ...fields.map(([key, label]) => ({
      id: key,
      label,
      wide: key === 'vhost',
      cell: (one) =>
        key === 'vhost'
          ? h('b', { class: 'name' }, one[key])
          : one[key] === ''
            ? h('span', { class: 'soft' }, 'nothing')
            : h('code', { class: 'name' }, one[key]),
    })),
    {
      id: 'do',
      label: '',
      cell: (one) =>
        h(
          'span',
          { class: 'row' },
          h('button', { type: 'button', onclick: () => change(context, one) }, 'Edit…'),
          h(
            'button',
            { type: 'button', class: 'danger', onclick: () => revoke(context, name, one) },
            'Take away…',
          ),
        ),
    },
  ];
  return h(
    'section',
    { class: 'card' },
    h(
      'div',
      { class: 'head' },
      h('h2', null, title),
      h('span', { class: 'room' }),
      h('button', { type: 'button', onclick: () => change(context) }, 'Add'),
    ),
    when(context, name, (rows) =>
      rows.length
        ? table({
            label: title,
            columns,
            rows,
            keyOf: (one) => `${one.vhost}\n${one.exchange ?? ''}`,
          })
        : none,
    ),
  );
}

const pattern = (name, label, now, hint) =>
  field(
    label,
    h('input', {
      name,
      value: now,
      class: 'mono',
      spellcheck: 'false',
    }),
    hint,
  );

async function permit(context, old) {
  const [name] = context.parts;
  const vhost = await open({
    title: `Permission of “${name}”`,
    inside: () =>
      h(
        'div',
        { class: 'form' },
        field(
          'Virtual host',
          choice('vhost', old ? [old.vhost] : context.app.vhosts, old?.vhost ?? '/'),
        ),
        h('p', { class: 'soft' }, 'Regular expressions of names; empty allows nothing.'),
        pattern('configure', 'Configure', old?.configure ?? '.*', 'Declare and delete'),
        pattern('write', 'Write', old?.write ?? '.*', 'Publish, bind queues'),
        pattern('read', 'Read', old?.read ?? '.*', 'Consume, get, purge, bind exchanges'),
      ),
    act: async (form) => {
      await put(path('permissions', form.get('vhost'), name), {
        configure: form.get('configure'),
        write: form.get('write'),
        read: form.get('read'),
      });
      return form.get('vhost');
    },
  });
  if (!vhost) return;
  toast(`“${name}” has its permission in “${vhost}”.`);
  context.refresh();
}

async function permitTopic(context, old) {
  const [name] = context.parts;
  const vhost = await open({
    title: `Topic permission of “${name}”`,
    inside: () =>
      h(
        'div',
        { class: 'form' },
        field(
          'Virtual host',
          choice('vhost', old ? [old.vhost] : context.app.vhosts, old?.vhost ?? '/'),
        ),
        field(
          'Exchange',
          h('input', { name: 'exchange', required: true, value: old?.exchange ?? 'amq.topic' }),
        ),
        pattern('write', 'Write', old?.write ?? '.*', 'Routing keys to publish with'),
        pattern('read', 'Read', old?.read ?? '.*', 'Keys to bind with'),
      ),
    act: async (form) => {
      await put(path('topic-permissions', form.get('vhost'), name), {
        exchange: form.get('exchange'),
        write: form.get('write'),
        read: form.get('read'),
      });
      return form.get('vhost');
    },
  });
  if (!vhost) return;
  toast(`“${name}” has its topic permission in “${vhost}”.`);
  context.refresh();
}

function revoke(context, kind, one) {
  const [name] = context.parts;
  const all = context.read('topics').data?.filter((other) => other.vhost === one.vhost).length ?? 1;
  return confirm({
    title: 'Take the permission away',
    label: 'Take away',
    body:
      kind === 'permissions'
        ? `“${name}” may no longer enter “${one.vhost}”.`
        : `All ${count(all)} topic permissions of “${name}” in “${one.vhost}” will be gone; ` +
          'all keys are allowed then.',
    act: async () => {
      await remove(
        path(kind === 'permissions' ? 'permissions' : 'topic-permissions', one.vhost, name),
      );
      context.refresh();
      const what = kind === 'permissions' ? 'permission' : 'topic permissions';
      return `“${name}” has no ${what} in “${one.vhost}” any more.`;
    },
  });
}

async function edit(context, data) {
  const limits = data.limits ?? {};
  const done = await open({
    title: `Tags and limits of “${data.name}”`,
    inside: () =>
      h(
        'div',
        { class: 'form' },
        tagFields(tagsOf(data)),
        h(
          'div',
          { class: 'two' },
          limitFields(LIMITS, limits),
        ),
      ),
    act: async (form) => {
      await put(path('users', data.name), {
        password_hash: data.password_hash,
        hashing_algorithm: data.hashing_algorithm,
        tags: chosenTags(form),
      });
      for (const [limit] of LIMITS) {
        const wanted = form.get(limit);
        if (wanted === String(limits[limit] ?? '')) continue;
        if (wanted === '') await remove(path('user-limits', data.name, limit));
        else await put(path('user-limits', data.name, limit), { value: Number(wanted) });
      }
      return true;
    },
  });
  if (!done) return;
  toast(`“${data.name}” is changed.`);
  context.refresh();
}

async function password(context, data) {
  const done = await open({
    title: `New password for “${data.name}”`,
    label: 'Set it',
    inside: () =>
      h(
        'div',
        { class: 'form' },
        field(
          'Password',
          h('input', {
            name: 'password',
            type: 'password',
            autocomplete: 'new-password',
            required: true,
          }),
        ),
        field(
          'Again',
          h('input', { name: 'again', type: 'password', autocomplete: 'new-password' }),
        ),
        h(
          'p',
          { class: 'soft' },
          'Sessions of this user on these pages end at once; connections that are open go on.',
        ),
      ),
    act: async (form) => {
      if (form.get('password') !== form.get('again')) throw new Error('The two passwords differ.');
      await put(path('users', data.name), {
        password: form.get('password'),
        tags: tagsOf(data).join(','),
      });
      return true;
    },
  });
  if (!done) return;
  toast(`“${data.name}” has a new password.`);
  context.refresh();
}

async function drop(context, data) {
  const done = await confirm({
    title: `Delete the user “${data.name}”`,
    label: 'Delete',
    body:
      `“${data.name}” and its permissions will be gone for good, and its connections closed.` +
      `${context.app.user.name === data.name ? ' This is you: you will be signed out.' : ''}`,
    act: async () => {
      await remove(path('users', data.name));
      return `The user “${data.name}” is deleted.`;
    },
  });
  if (done) go(link('users'));
}
