/** Owns bindings: their picture, their table, adding and taking away. */
import { h } from './dom.js';
import { exchangeName, path, post, remove } from './api.js';
import { attempt, confirm } from './dialog.js';
import { value } from './format.js';
import { graph } from './graph.js';
import { Pairs } from './pairs.js';
import { card, choice, empty, exchangeLink, field, queueLink } from './parts.js';
import { table } from './table.js';

/** Everything about the bindings of a queue or an exchange (`kind`). */
export function bindings(context, { vhost, name, kind, incoming, outgoing }) {
  const own = incoming.filter((one) => kind !== 'queue' || one.source !== '');
  const all = [...own, ...outgoing.filter((one) => one.source !== '')];
  const state = context.state;
  state.pairs ??= new Pairs();
  return h(
    'div',
    { class: 'stack' },
    card('', graph(name, own, outgoing, { sides: sidesOf(kind, own, outgoing) })),
    all.length
      ? bindingTable(context, all)
      : empty(
          'No bindings',
          kind === 'queue'
            ? 'Messages reach this queue by the default exchange, with its name as the routing key.'
            : 'What is published here is dropped or returned until something is bound.',
        ),
    name !== '' && card('Add a binding', form(context, { vhost, name, kind })),
  );
}

// A side on which there is nothing is left out, if there is something on the other.
function sidesOf(kind, incoming, outgoing) {
  if (kind === 'queue' || (incoming.length && !outgoing.length)) return 'left';
  return incoming.length ? 'both' : 'right';
}

function bindingTable(context, list) {
  const columns = [
    { id: 'from', label: 'From', wide: true, cell: (one) => exchangeLink(one.vhost, one.source) },
    {
      id: 'to',
      label: 'To',
      wide: true,
      cell: (one) =>
        one.destination_type === 'queue'
          ? queueLink(one.vhost, one.destination)
          : exchangeLink(one.vhost, one.destination),
    },
    {
      id: 'key',
      label: 'Routing key',
      cell: (one) => h('code', { class: 'name' }, one.routing_key),
    },
    {
      id: 'arguments',
      label: 'Arguments',
      long: true,
      cell: (one) =>
        Object.entries(one.arguments ?? {})
          .map(([key, what]) => `${key}: ${value(what)}`)
          .join(', '),
    },
    {
      id: 'unbind',
      label: '',
      cell: (one) =>
        h(
          'button',
          { type: 'button', class: 'danger', onclick: () => unbind(context, one) },
          'Unbind…',
        ),
    },
  ];
  return table({
    label: 'Bindings',
    columns,
    rows: list.slice(0, 500),
    keyOf: (one) =>
      `${one.source}\n${one.destination_type}\n${one.destination}\n${one.properties_key}`,
  });
}

function placeOf(binding) {
  return path(
    'bindings',
    binding.vhost,
    'e',
    exchangeName(binding.source),
    binding.destination_type === 'queue' ? 'q' : 'e',
    binding.destination,
  );
}

function unbind(context, binding) {
  return confirm({
    title: 'Unbind',
    label: 'Unbind',
    body:
      `“${binding.destination}” will no longer get what “${binding.source}” routes by ` +
      `“${binding.routing_key}”.`,
    act: async () => {
      await remove(`${placeOf(binding)}/${encodeURIComponent(binding.properties_key)}`);
      context.refresh();
      return `“${binding.destination}” is unbound from “${binding.source}”.`;
    },
  });
}

function form(context, { vhost, name, kind }) {
  const { pairs } = context.state;
  const submit = (event) => {
    event.preventDefault();
    const target = event.target;
    const said = new FormData(target);
    const [source, type, destination] =
      kind === 'queue'
        ? [said.get('other'), 'queue', name]
        : said.get('way') === 'from'
          ? [said.get('other'), 'exchange', name]
          : [name, said.get('way'), said.get('other')];
    return attempt(async () => {
      await post(placeOf({ vhost, source, destination_type: type, destination }), {
        routing_key: said.get('key'),
        arguments: pairs.value(),
      });
      target.reset();
      context.state.pairs = new Pairs();
      context.refresh();
      return `“${destination}” is bound to “${source}”.`;
    });
  };
  return h(
    'form',
    { class: 'form', onsubmit: submit },
    h(
      'div',
      { class: 'two' },
      kind === 'exchange' &&
        field(
          'Direction',
          choice(
            'way',
            [
              ['queue', 'to a queue'],
              ['exchange', 'to an exchange'],
              ['from', 'from an exchange'],
            ],
            'queue',
          ),
        ),
      field(
        kind === 'queue' ? 'From the exchange' : 'Its name',
        h('input', { name: 'other', required: true }),
      ),
      field('Routing key', h('input', { name: 'key' })),
    ),
    h(
      'div',
      { class: 'field' },
      h('span', null, 'Arguments'),
      pairs.draw(() => context.set({}), 'Add an argument'),
    ),
    h('div', { class: 'row' }, h('button', { class: 'main' }, 'Bind')),
  );
}
