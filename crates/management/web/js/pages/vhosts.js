/** Virtual hosts and their limits. */
import { h } from '../dom.js';
import { path, put, remove } from '../api.js';
import { confirm, open, toast } from '../dialog.js';
import { count, counted } from '../format.js';
import { local } from '../lists.js';
import { chip, choice, empty, field, head, limitFields, pace, tally, when } from '../parts.js';

const LIMITS = [
  ['max-connections', 'Connections at most'],
  ['max-queues', 'Queues at most'],
];

export const vhosts = {
  title: () => 'Virtual hosts',
  reads: () => ({ vhosts: '/vhosts', limits: '/vhost-limits' }),
  draw: (context) =>
    h(
      'div',
      null,
      head(
        'Virtual hosts',
        context.app.may('administrator') &&
          h(
            'button',
            {
              type: 'button',
              class: 'main',
              'data-new': true,
              onclick: () => edit(context),
            },
            'Add a virtual host',
          ),
      ),
      when(context, 'vhosts', (rows) =>
        local(context, {
          label: 'Virtual hosts',
          rows,
          columns: columns(context),
          keyOf: (one) => one.name,
          text: (one) => `${one.name} ${one.description ?? ''}`,
          none: empty('There is no virtual host', 'Nothing can connect until there is one.'),
        }),
      ),
    ),
};

const speed = (one, name) => pace(one.message_stats?.[`${name}_details`]?.rate ?? 0);

function limitsOf(context, name) {
  const list = context.read('limits').data ?? [];
  return list.find((one) => one.vhost === name)?.value ?? {};
}

function columns(context) {
  return [
    {
      id: 'name',
      label: 'Name',
      sort: 'name',
      wide: true,
      cell: (one) => [
        h('b', { class: 'name' }, one.name),
        one.description && h('div', { class: 'soft name' }, one.description),
      ],
    },
    {
      id: 'tags',
      label: 'Tags',
      cell: (one) =>
        one.tags?.length
          ? h(
              'span',
              { class: 'chips' },
              one.tags.map((tag) => chip(tag)),
            )
          : '',
    },
    {
      id: 'ready',
      label: 'Ready',
      sort: 'messages_ready',
      num: true,
      cell: (one) => tally(one.messages_ready ?? 0),
    },
    {
      id: 'unacked',
      label: 'Unacked',
      sort: 'messages_unacknowledged',
      num: true,
      cell: (one) => tally(one.messages_unacknowledged ?? 0),
    },
    { id: 'in', label: 'In', num: true, cell: (one) => speed(one, 'publish') },
    { id: 'out', label: 'Out', num: true, cell: (one) => speed(one, 'deliver_get') },
    {
      id: 'limits',
      label: 'Limits',
      cell: (one) =>
        Object.entries(limitsOf(context, one.name))
          .map(([name, what]) => `${name}: ${count(what)}`)
          .join(', '),
    },
    context.app.may('administrator') && {
      id: 'do',
      label: '',
      cell: (one) =>
        h(
          'span',
          { class: 'row' },
          h('button', { type: 'button', onclick: () => edit(context, one) }, 'Edit…'),
          h(
            'button',
            { type: 'button', class: 'danger', onclick: () => drop(context, one) },
            'Delete…',
          ),
        ),
    },
  ].filter(Boolean);
}

async function edit(context, old) {
  const limits = old ? limitsOf(context, old.name) : {};
  const type = old?.default_queue_type === 'quorum' ? 'quorum' : 'classic';
  const name = await open({
    title: old ? `Virtual host “${old.name}”` : 'Add a virtual host',
    inside: () =>
      h(
        'div',
        { class: 'form' },
        field(
          'Name',
          h('input', {
            name: 'name',
            required: true,
            value: old?.name ?? '',
            readonly: Boolean(old),
          }),
        ),
        field('Description', h('input', { name: 'description', value: old?.description ?? '' })),
        field(
          'Tags',
          h('input', { name: 'tags', value: (old?.tags ?? []).join(',') }),
          'Divided by commas',
        ),
        field('Type of queues that name none', choice('type', ['classic', 'quorum'], type)),
        h(
          'div',
          { class: 'two' },
          limitFields(LIMITS, limits),
        ),
      ),
    act: (form) => save(form, limits),
  });
  if (!name) return;
  toast(`The virtual host “${name}” is ${old ? 'changed' : 'there'}.`);
  await context.app.readVhosts();
  context.refresh();
}

async function save(form, before) {
  const name = form.get('name');
  await put(path('vhosts', name), {
    description: form.get('description'),
    tags: form.get('tags'),
    default_queue_type: form.get('type'),
  });
  for (const [limit] of LIMITS) {
    const wanted = form.get(limit);
    if (wanted === String(before[limit] ?? '')) continue;
    if (wanted === '') await remove(path('vhost-limits', name, limit));
    else await put(path('vhost-limits', name, limit), { value: Number(wanted) });
  }
  return name;
}

async function drop(context, one) {
  await confirm({
    title: `Delete the virtual host “${one.name}”`,
    label: 'Delete it with everything in it',
    body: [
      h(
        'p',
        null,
        `All its queues with ${counted(one.messages ?? 0, 'message')}, its exchanges, bindings, ` +
          'policies and permissions will be gone for good, and its connections closed.',
      ),
      field(
        `Write its name to confirm: ${one.name}`,
        h('input', { name: 'again', autocomplete: 'off' }),
      ),
    ],
    act: async (form) => {
      if (form.get('again') !== one.name) throw new Error('That is not its name.');
      await remove(path('vhosts', one.name));
      await context.app.readVhosts();
      context.refresh();
      return `The virtual host “${one.name}” is deleted.`;
    },
  });
}
