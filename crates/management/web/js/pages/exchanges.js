/** The list of exchanges. */
import { h } from '../dom.js';
import { path, put } from '../api.js';
import { open, toast } from '../dialog.js';
import { exchangeLabel } from '../format.js';
import { paged, pagedPath } from '../lists.js';
import { Pairs } from '../pairs.js';
import { check, chip, choice, empty, exchangeLink, field, head, pace } from '../parts.js';
import { go, link } from '../router.js';
import { settings } from '../settings.js';
import { EXCHANGE_ARGUMENTS, EXCHANGE_TYPES } from '../vocabulary.js';

/** What is special about an exchange, as chips. */
export function traits(exchange) {
  return h(
    'span',
    { class: 'chips' },
    chip(exchange.type),
    !exchange.durable && chip('transient', '', 'Gone after a restart'),
    exchange.auto_delete && chip('auto-delete', '', 'Deleted with its last binding'),
    exchange.internal && chip('internal', '', 'Clients cannot publish to it'),
    exchange.arguments?.['alternate-exchange'] !== undefined &&
      chip('AE', '', `Alternate: ${exchange.arguments['alternate-exchange']}`),
    exchange.policy && chip(exchange.policy, 'good', 'Policy'),
    exchange.scheduled > 0 && chip(`${exchange.scheduled} scheduled`, 'warn'),
  );
}

const COLUMNS = [
  {
    id: 'name',
    label: 'Name',
    sort: 'name',
    fixed: true,
    wide: true,
    cell: (one) => exchangeLink(one.vhost, one.name),
  },
  { id: 'vhost', label: 'Virtual host', sort: 'vhost', cell: (one) => one.vhost },
  { id: 'features', label: 'Features', sort: 'type', cell: traits },
  {
    id: 'in',
    label: 'In',
    full: 'Publish rate',
    num: true,
    sort: 'message_stats.publish_in_details.rate',
    cell: (one) => pace(one.message_stats?.publish_in_details?.rate),
  },
  {
    id: 'out',
    label: 'Out',
    full: 'Rate into queues',
    num: true,
    sort: 'message_stats.publish_out_details.rate',
    cell: (one) => pace(one.message_stats?.publish_out_details?.rate),
  },
  { id: 'policy', label: 'Policy', sort: 'policy', extra: true, cell: (one) => one.policy ?? '' },
];

export const exchanges = {
  title: () => 'Exchanges',
  reads: (context) => ({ list: pagedPath(context, context.scoped('exchanges')) }),
  draw: (context) =>
    h(
      'div',
      null,
      head(
        'Exchanges',
        h(
          'button',
          {
            type: 'button',
            class: 'main',
            'data-new': true,
            onclick: () => declare(context),
          },
          'Add an exchange',
        ),
      ),
      paged(context, {
        id: 'exchanges',
        label: 'Exchanges',
        columns: COLUMNS,
        keyOf: (one) => `${one.vhost}\n${exchangeLabel(one.name)}`,
        href: (one) => link('exchanges', [one.vhost, one.name]),
        none: empty('There are no exchanges', 'Choose another virtual host, or add one.'),
      }),
    ),
};

async function declare(context) {
  const pairs = new Pairs(EXCHANGE_ARGUMENTS);
  const types = context.app.overview()?.exchange_types?.map((one) => one.name) ?? EXCHANGE_TYPES;
  const made = await open({
    title: 'Add an exchange',
    label: 'Add',
    wide: true,
    inside: (redraw) =>
      h(
        'div',
        { class: 'form' },
        h(
          'div',
          { class: 'two' },
          field('Name', h('input', { name: 'name', required: true, autocomplete: 'off' })),
          field('Virtual host', choice('vhost', context.app.vhosts, settings.vhost || '/')),
          field('Type', choice('type', types, 'direct')),
        ),
        h(
          'div',
          { class: 'row' },
          check('durable', 'Durable', true),
          check('auto', 'Delete with its last binding', false),
          check('internal', 'Internal (no publishing from clients)', false),
        ),
        h(
          'div',
          { class: 'field' },
          h('span', null, 'Arguments'),
          pairs.draw(redraw, 'Add an argument'),
        ),
      ),
    act: async (form) => {
      const place = [form.get('vhost'), form.get('name')];
      await put(path('exchanges', ...place), {
        type: form.get('type'),
        durable: Boolean(form.get('durable')),
        auto_delete: Boolean(form.get('auto')),
        internal: Boolean(form.get('internal')),
        arguments: pairs.value(),
      });
      return place;
    },
  });
  if (!made) return;
  go(link('exchanges', made));
  toast(`Exchange “${made[1]}” is there.`);
}
