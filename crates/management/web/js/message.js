/** Owns how one message is shown: its line in a list, its properties, headers and payload. */
import { h } from './dom.js';
import { bytes, date, value } from './format.js';
import { attempt } from './dialog.js';
import { amqpTable, chip, facts } from './parts.js';
import { REASONS } from './vocabulary.js';

const SHOWN = 65_536;

/** The headers of a message, as an object. */
export const headersOf = (message) => message.properties?.headers ?? {};

/** One message. `choice` is what stands before it; `open` says whether all of it is shown. */
export function messageLine(message, { picked, open, onOpen, choice, label, note }) {
  const headers = headersOf(message);
  const reason = headers['x-first-death-reason'];
  return h(
    'li',
    { class: picked ? 'message picked' : 'message', key: String(label) },
    h(
      'div',
      { class: 'line' },
      choice,
      h(
        'button',
        {
          type: 'button',
          class: 'plain opener',
          'aria-expanded': String(open),
          onclick: onOpen,
        },
        h('span', { class: 'place' }, String(label)),
        h('span', { class: 'key cut name' }, message.routing_key || h('i', null, 'empty key')),
        h('span', { class: 'preview cut name' }, preview(message)),
      ),
      reason && chip(reason, 'warn', REASONS[reason]),
      message.redelivered && chip('redelivered'),
      note,
      h('span', { class: 'soft small' }, bytes(message.payload_bytes)),
    ),
    open && detail(message),
  );
}

function preview(message) {
  if (message.payload_encoding === 'base64') return `base64 ${message.payload.slice(0, 160)}`;
  return message.payload.slice(0, 200).replace(/\s+/g, ' ');
}

function detail(message) {
  const properties = Object.entries(message.properties ?? {}).filter(
    ([name]) => name !== 'headers',
  );
  const { 'x-death': deaths, ...headers } = headersOf(message);
  return h(
    'div',
    { class: 'detail' },
    h(
      'div',
      { class: 'stack' },
      facts([
        ['Exchange', message.exchange || h('span', { class: 'soft' }, '(default exchange)')],
        ['Routing key', message.routing_key],
        ['Expires', message.expires_at ? date(message.expires_at) : null],
        ['Due', message.due_at ? date(message.due_at) : null],
        ...properties.map(([name, what]) => [name, property(name, what)]),
      ]),
      Object.keys(headers).length > 0 &&
        h('div', null, h('h3', null, 'Headers'), amqpTable(headers)),
      Array.isArray(deaths) && deathList(deaths),
    ),
    payload(message),
  );
}

function property(name, what) {
  if (name === 'timestamp' && Number.isFinite(what)) return `${date(what * 1000)} (${what})`;
  if (name === 'delivery_mode') return `${what} (${what === 2 ? 'persistent' : 'transient'})`;
  return value(what);
}

function deathList(deaths) {
  return h(
    'div',
    null,
    h('h3', null, 'Dead-lettered'),
    h(
      'ol',
      null,
      deaths.map((death) =>
        h(
          'li',
          null,
          chip(String(death.reason), 'warn', REASONS[death.reason]),
          ' ',
          `${death.count ?? 1}× from `,
          h('b', { class: 'name' }, String(death.queue)),
          h('span', { class: 'soft' }, death.time ? ` · ${date(death.time * 1000)}` : ''),
        ),
      ),
    ),
  );
}

function payload(message) {
  const text = readable(message);
  const cut = message.payload_bytes > 0 && text.cut;
  return h(
    'div',
    { class: 'stack' },
    h(
      'div',
      { class: 'row' },
      h('h3', null, `Payload, ${bytes(message.payload_bytes)}`),
      h('span', { class: 'soft small' }, text.kind),
      h('span', { class: 'room' }),
      h(
        'button',
        {
          type: 'button',
          class: 'plain small',
          onclick: () =>
            attempt(async () => {
              await navigator.clipboard.writeText(message.payload);
              return 'The payload is in the clipboard.';
            }),
        },
        'Copy',
      ),
    ),
    h('pre', { class: 'payload name', tabindex: '0', dir: 'auto' }, text.text),
    cut && h('p', { class: 'soft small' }, 'Only its beginning is shown.'),
  );
}

function readable(message) {
  const { payload: raw } = message;
  if (message.payload_encoding === 'base64') {
    return { kind: 'not text; base64', text: raw.slice(0, SHOWN), cut: raw.length > SHOWN };
  }
  if (/^\s*[[{]/.test(raw) && raw.length < SHOWN) {
    try {
      return { kind: 'JSON', text: JSON.stringify(JSON.parse(raw), null, 2), cut: false };
    } catch {
      // Not JSON after all, or cut off in it.
    }
  }
  const cut = raw.length > SHOWN || new Blob([raw]).size < message.payload_bytes;
  return { kind: 'text', text: raw.slice(0, SHOWN), cut };
}
