/** Owns the dialogs that publish a message, and that get some from a queue. */
import { h } from './dom.js';
import { exchangeName, path, post } from './api.js';
import { open, toast } from './dialog.js';
import { count, counted, exchangeLabel } from './format.js';
import { messageLine } from './message.js';
import { Pairs } from './pairs.js';
import { check, choice, field } from './parts.js';
import { PROPERTIES } from './vocabulary.js';

const PROPERTY_KINDS = PROPERTIES.map((name) => [
  name,
  ['delivery_mode', 'priority', 'timestamp'].includes(name) ? 'number' : 'text',
  '',
]);

/** Asks for a message, and publishes it. `key` is offered as the routing key. */
export async function publish(vhost, exchange, key = '') {
  const properties = new Pairs(PROPERTY_KINDS);
  const headers = new Pairs([
    ['x-delay', 'number', 'Delayed exchanges: how long it waits, in milliseconds'],
    ['x-deduplication-header', 'text', 'Deduplication: who this message is'],
  ]);
  const result = await open({
    title: `Publish to ${exchange === '' && key ? `“${key}”` : exchangeLabel(exchange)}`,
    label: 'Publish',
    wide: true,
    inside: (redraw) =>
      h(
        'div',
        { class: 'form' },
        h(
          'div',
          { class: 'two' },
          field('Routing key', h('input', { name: 'key', value: key })),
          field(
            'Encoding',
            choice(
              'encoding',
              [
                ['string', 'text'],
                ['base64', 'base64'],
              ],
              'string',
            ),
          ),
        ),
        field('Payload', h('textarea', { name: 'payload', 'data-first': true, dir: 'auto' })),
        h(
          'div',
          { class: 'row' },
          check('persistent', 'Persistent', true),
          h(
            'label',
            { class: 'check' },
            'Copies',
            h('input', { name: 'copies', type: 'number', min: '1', max: '1000', value: '1' }),
          ),
        ),
        h(
          'details',
          null,
          h('summary', null, 'Properties and headers'),
          h(
            'div',
            { class: 'form' },
            h('h3', null, 'Properties'),
            properties.draw(redraw, 'Add a property'),
            h('h3', null, 'Headers'),
            headers.draw(redraw, 'Add a header'),
          ),
        ),
      ),
    act: (form) => send(vhost, exchange, form, properties.value(), headers.value()),
  });
  if (!result) return;
  const lost = result.sent - result.routed;
  if (!lost) toast(`${counted(result.sent, 'message')} published and routed.`);
  else
    toast(
      `${count(lost)} of ${count(result.sent)} reached no queue: nothing is bound for that key.`,
      true,
    );
}

async function send(vhost, exchange, form, properties, headers) {
  const body = {
    routing_key: form.get('key'),
    payload: form.get('payload'),
    payload_encoding: form.get('encoding'),
    properties: { ...(form.get('persistent') ? { delivery_mode: 2 } : {}), ...properties, headers },
  };
  const copies = Math.min(1000, Math.max(1, Number(form.get('copies')) || 1));
  let routed = 0;
  for (let sent = 0; sent < copies; sent += 1) {
    const answer = await post(`${path('exchanges', vhost, exchangeName(exchange))}/publish`, body);
    routed += answer.routed ? 1 : 0;
  }
  return { sent: copies, routed };
}

/** Gets messages of a queue, as a consumer would: they are taken, or count as redelivered. */
export async function getMessages(vhost, queue) {
  const state = { messages: null, opened: new Set([0]) };
  await open({
    title: `Get from “${queue}”`,
    label: 'Get',
    wide: true,
    inside: (redraw) => [
      h(
        'p',
        { class: 'soft' },
        'This is a real delivery. To look without touching, use the tab Messages.',
      ),
      h(
        'div',
        { class: 'form' },
        h(
          'div',
          { class: 'two' },
          field(
            'How many',
            h('input', { name: 'count', type: 'number', min: '1', max: '1000', value: '1' }),
          ),
          field(
            'Then',
            choice(
              'mode',
              [
                ['ack_requeue_true', 'put them back (marked redelivered)'],
                ['ack_requeue_false', 'acknowledge: they are gone'],
                ['reject_requeue_true', 'reject, put back'],
                ['reject_requeue_false', 'reject: they are dead-lettered or gone'],
              ],
              'ack_requeue_true',
            ),
          ),
        ),
      ),
      state.messages &&
        (state.messages.length
          ? h(
              'ul',
              { class: 'messages' },
              state.messages.map((message, at) =>
                messageLine(message, {
                  label: at + 1,
                  open: state.opened.has(at),
                  onOpen: () => {
                    if (!state.opened.delete(at)) state.opened.add(at);
                    redraw();
                  },
                }),
              ),
            )
          : h('p', { class: 'note' }, 'The queue had no message ready.')),
    ],
    act: (form, redraw) => fetch(vhost, queue, form, state, redraw),
    keep: true,
  });
}

async function fetch(vhost, queue, form, state, redraw) {
  state.messages = await post(`${path('queues', vhost, queue)}/get`, {
    count: Number(form.get('count')) || 1,
    ackmode: form.get('mode'),
    encoding: 'auto',
    truncate: 50_000,
  });
  redraw();
}
