/** Policies and operator policies: lists, an editor that offers the known keys, and a test. */
import { h } from '../dom.js';
import { get, path, put, query, remove } from '../api.js';
import { confirm, open, toast } from '../dialog.js';
import { count, value } from '../format.js';
import { local } from '../lists.js';
import { Pairs } from '../pairs.js';
import { choice, empty, field, head, tabs, when } from '../parts.js';
import { link } from '../router.js';
import { settings } from '../settings.js';
import { APPLY_TO, OPERATOR_KEYS, POLICY_KEYS } from '../vocabulary.js';

const kindOf = (context) => (context.fields.kind === 'operator' ? 'operator-policies' : 'policies');

export const policies = {
  title: () => 'Policies',
  reads: (context) => ({ [kindOf(context)]: context.scoped(kindOf(context)) }),
  draw: (context) => {
    const kind = kindOf(context);
    const mayEdit = context.app.may(kind === 'policies' ? 'policymaker' : 'administrator');
    return h(
      'div',
      null,
      head(
        'Policies',
        mayEdit &&
          h(
            'button',
            {
              type: 'button',
              class: 'main',
              'data-new': true,
              onclick: () => edit(context, kind),
            },
            kind === 'policies' ? 'Add a policy' : 'Add an operator policy',
          ),
      ),
      tabs(
        kind,
        [
          ['policies', 'Policies'],
          ['operator-policies', 'Operator policies'],
        ],
        (id) => link('policies', [], id === 'policies' ? {} : { kind: 'operator' }),
      ),
      when(context, kind, (rows) =>
        local(context, {
          label: 'Policies',
          rows,
          columns: columns(context, kind, mayEdit),
          keyOf: (one) => `${one.vhost}\n${one.name}`,
          text: (one) => `${one.name} ${one.pattern} ${Object.keys(one.definition).join(' ')}`,
          none:
            kind === 'policies'
              ? empty(
                  'There are no policies',
                  'A policy gives arguments to all queues and exchanges whose name ' +
                    'matches a pattern, and can be changed at any time.',
                )
              : empty(
                  'There are no operator policies',
                  "An operator policy sets limits that no one's " +
                    'own arguments or policies can exceed.',
                ),
        }),
      ),
    );
  },
};

function columns(context, kind, mayEdit) {
  return [
    {
      id: 'name',
      label: 'Name',
      sort: 'name',
      wide: true,
      cell: (one) => h('b', { class: 'name' }, one.name),
    },
    { id: 'vhost', label: 'Virtual host', sort: 'vhost', cell: (one) => one.vhost },
    {
      id: 'pattern',
      label: 'Pattern',
      sort: 'pattern',
      cell: (one) => h('code', { class: 'name' }, one.pattern),
    },
    { id: 'applies', label: 'Applies to', sort: 'apply-to', cell: (one) => one['apply-to'] },
    { id: 'definition', label: 'Definition', long: true, cell: definition },
    {
      id: 'priority',
      label: 'Priority',
      sort: 'priority',
      num: true,
      cell: (one) => count(one.priority),
    },
    mayEdit && {
      id: 'do',
      label: '',
      cell: (one) =>
        h(
          'span',
          { class: 'row' },
          h('button', { type: 'button', onclick: () => edit(context, kind, one) }, 'Edit…'),
          h(
            'button',
            { type: 'button', class: 'danger', onclick: () => drop(context, kind, one) },
            'Delete…',
          ),
        ),
    },
  ].filter(Boolean);
}

function definition(one) {
  return Object.entries(one.definition).map(([name, what]) =>
    h('div', { key: name }, h('code', null, `${name}: ${value(what)}`)),
  );
}

async function edit(context, kind, old) {
  const pairs = new Pairs(kind === 'policies' ? POLICY_KEYS : OPERATOR_KEYS, old?.definition);
  if (!old) pairs.add();
  const state = {
    pattern: old?.pattern ?? '',
    applies: old?.['apply-to'] ?? 'queues',
    found: null,
    vhost: old?.vhost ?? (settings.vhost || '/'),
  };
  const name = await open({
    title: old
      ? `Policy “${old.name}”`
      : kind === 'policies'
        ? 'Add a policy'
        : 'Add an operator policy',
    wide: true,
    inside: (redraw) =>
      h(
        'div',
        { class: 'form' },
        h(
          'div',
          { class: 'two' },
          field(
            'Name',
            h('input', {
              name: 'name',
              required: true,
              value: old?.name ?? '',
              readonly: Boolean(old),
            }),
          ),
          field(
            'Virtual host',
            choice('vhost', old ? [old.vhost] : context.app.vhosts, state.vhost, {
              onchange: (event) => {
                state.vhost = event.target.value;
              },
            }),
          ),
          field(
            'Applies to',
            choice('applies', APPLY_TO, state.applies, {
              onchange: (event) => {
                state.applies = event.target.value;
              },
            }),
          ),
          field(
            'Priority',
            h('input', { name: 'priority', type: 'number', value: String(old?.priority ?? 0) }),
            'Of several that match, the highest holds',
          ),
        ),
        field(
          'Pattern',
          h('input', {
            name: 'pattern',
            required: true,
            value: state.pattern,
            class: 'mono',
            spellcheck: 'false',
            oninput: (event) => {
              state.pattern = event.target.value;
            },
          }),
          'A regular expression; it matches any part of the name unless it begins with ^',
        ),
        h(
          'div',
          { class: 'row' },
          h(
            'button',
            {
              type: 'button',
              onclick: () => test(state, redraw),
            },
            'Which match?',
          ),
          matches(state),
        ),
        h(
          'div',
          { class: 'field' },
          h('span', null, 'Definition'),
          pairs.draw(redraw, 'Add a key'),
        ),
      ),
    act: async (form) => {
      const what = pairs.value();
      if (!Object.keys(what).length) throw new Error('The definition is empty: add a key.');
      await put(path(kind, form.get('vhost'), form.get('name')), {
        pattern: form.get('pattern'),
        'apply-to': form.get('applies'),
        priority: Number(form.get('priority')) || 0,
        definition: what,
      });
      return form.get('name');
    },
  });
  if (name) {
    toast(`The policy “${name}” is ${old ? 'changed' : 'there'}.`);
    context.refresh();
  }
}

async function test(state, redraw) {
  state.found = { text: 'Looking…', names: [] };
  redraw();
  const kinds =
    state.applies === 'all'
      ? ['queues', 'exchanges']
      : state.applies === 'exchanges'
        ? ['exchanges']
        : ['queues'];
  try {
    const lists = await Promise.all(
      kinds.map((kind) =>
        get(
          path(kind, state.vhost) +
            query({
              page: 1,
              page_size: 20,
              name: state.pattern,
              use_regex: 'true',
              columns: 'name',
              sort: 'name',
            }),
        ),
      ),
    );
    const numbers = kinds.map((kind, at) => `${count(lists[at].filtered_count)} ${kind}`);
    state.found = {
      text: `${numbers.join(' and ')} of “${state.vhost}” match by name; the search ignores case.`,
      names: lists.flatMap((list) => list.items.map((one) => one.name)).slice(0, 20),
    };
  } catch (error) {
    state.found = { text: error.message, names: [], bad: true };
  }
  redraw();
}

function matches(state) {
  if (!state.found) return null;
  return h(
    'div',
    { role: 'status' },
    h('span', { class: state.found.bad ? 'bad' : 'soft' }, state.found.text),
    ' ',
    h('span', { class: 'small name' }, state.found.names.join(', ')),
  );
}

function drop(context, kind, one) {
  return confirm({
    title: `Delete the policy “${one.name}”`,
    label: 'Delete',
    body: `What it gives to the names that match ${one.pattern} will no longer hold, at once.`,
    act: async () => {
      await remove(path(kind, one.vhost, one.name));
      context.refresh();
      return `The policy “${one.name}” is deleted.`;
    },
  });
}
