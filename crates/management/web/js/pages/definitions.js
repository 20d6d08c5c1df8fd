/** Definitions: what a file of them would hold, export, and import of one. */
import { h } from '../dom.js';
import { get, path, post } from '../api.js';
import { attempt, confirm } from '../dialog.js';
import { bytes, count } from '../format.js';
import { card, choice, facts, field, head } from '../parts.js';

const PARTS = [
  'vhosts',
  'users',
  'permissions',
  'topic_permissions',
  'policies',
  'queues',
  'exchanges',
  'bindings',
  'parameters',
  'global_parameters',
];

export const definitions = {
  title: () => 'Definitions',
  start: () => ({ file: null, parsed: null, failure: '' }),
  draw: (context) =>
    h(
      'div',
      { class: 'stack' },
      head('Definitions'),
      h(
        'p',
        { class: 'soft' },
        'A file of definitions says what there is: virtual hosts, users with the hashes of ' +
          'their passwords, permissions, policies, queues, exchanges and bindings. ' +
          'It holds no messages. ' +
          "RabbitMQ's files are of the same form.",
      ),
      h('div', { class: 'cards' }, exporting(context), importing(context)),
    ),
};

function exporting(context) {
  return card(
    'Export',
    h(
      'form',
      {
        class: 'form',
        onsubmit: (event) => {
          event.preventDefault();
          save(new FormData(event.target).get('vhost'));
        },
      },
      field(
        'Of',
        choice(
          'vhost',
          [['', 'the whole broker'], ...context.app.vhosts.map((name) => [name, name])],
          '',
        ),
      ),
      h('div', { class: 'row' }, h('button', { class: 'main' }, 'Download')),
    ),
  );
}

function save(vhost) {
  return attempt(async () => {
    const data = await get(vhost ? path('definitions', vhost) : '/definitions');
    const text = JSON.stringify(data, null, 2);
    const address = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
    const anchor = document.createElement('a');
    anchor.href = address;
    anchor.download = `definitions${vhost ? `-${vhost.replace(/[^\w.-]+/g, '_')}` : ''}.json`;
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
    const [queues, exchanges] = [data.queues?.length ?? 0, data.exchanges?.length ?? 0];
    return `${count(queues)} queues and ${count(exchanges)} exchanges are in the file.`;
  });
}

function importing(context) {
  const { file, parsed, failure } = context.state;
  return card(
    'Import',
    h(
      'form',
      {
        class: 'form',
        onsubmit: (event) => {
          event.preventDefault();
          load(context, new FormData(event.target).get('vhost'));
        },
      },
      field(
        'File',
        h('input', {
          type: 'file',
          accept: '.json,application/json',
          onchange: (event) => look(context, event.target.files[0]),
        }),
      ),
      field(
        'Into',
        choice(
          'vhost',
          [
            ['', 'the virtual hosts that it names'],
            ...context.app.vhosts.map((name) => [name, name]),
          ],
          '',
        ),
        'A file of one virtual host must go into one',
      ),
      failure && h('p', { class: 'note bad', role: 'alert' }, failure),
      parsed &&
        h(
          'div',
          null,
          h('h3', null, `${file.name}, ${bytes(file.size)}`),
          facts(
            PARTS.filter((part) => parsed[part]).map((part) => [
              part.replace('_', ' '),
              count(parsed[part].length),
            ]),
          ),
        ),
      h(
        'p',
        { class: 'soft' },
        'What is there already stays; users and policies of the same name are replaced. ' +
          'If one entry is wrong, nothing is changed.',
      ),
      h('div', { class: 'row' }, h('button', { class: 'main', disabled: !parsed }, 'Import…')),
    ),
  );
}

async function look(context, file) {
  if (!file) return context.set({ file: null, parsed: null, failure: '' });
  try {
    const parsed = JSON.parse(await file.text());
    if (!PARTS.some((part) => Array.isArray(parsed?.[part])))
      throw new Error('There are no definitions in it.');
    return context.set({ file, parsed, failure: '' });
  } catch (error) {
    return context.set({
      file,
      parsed: null,
      failure: `This is no file of definitions: ${error.message}`,
    });
  }
}

async function load(context, vhost) {
  const { file, parsed } = context.state;
  const what = PARTS.filter((part) => parsed[part]?.length)
    .map((part) => `${count(parsed[part].length)} ${part.replace('_', ' ')}`)
    .join(', ');
  const done = await confirm({
    title: `Import “${file.name}”`,
    label: 'Import',
    body:
      `${what} will be made, or replaced where they are of the same name` +
      `${vhost ? `, in “${vhost}”` : ''}.`,
    act: async () => {
      await post(vhost ? path('definitions', vhost) : '/definitions', parsed);
      return `“${file.name}” is imported: ${what}.`;
    },
  });
  if (!done) return;
  await context.app.readVhosts();
  context.refresh();
}
