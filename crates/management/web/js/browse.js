/**
 * Owns the browsing of a queue's messages, which disturbs nothing, and what can be done to those
 * that are selected or that a filter matches. One request at a time; an older one is dropped.
 */
import { h } from './dom.js';
import { get, path, query } from './api.js';
import { change } from './message_actions.js';
import { messageLine } from './message.js';
import { empty } from './parts.js';
import { count } from './format.js';
import { Where } from './where.js';

const PAGE = 50;
const KEPT = 1000; // how many messages the page holds at most

export class Browse {
  /** `changed` is called whenever the list is to be drawn anew. */
  constructor(vhost, queue, changed) {
    Object.assign(this, { vhost, queue, changed, where: new Where() });
    Object.assign(this, { messages: [], next: null, picked: new Set(), opened: new Set() });
    Object.assign(this, { busy: false, failure: '', started: false, control: null, oldest: false });
  }

  /** Begins anew, with the filter as it is. */
  start() {
    this.started = true;
    Object.assign(this, { messages: [], next: null, picked: new Set(), oldest: false });
    return this.read(null);
  }

  close() {
    this.control?.abort();
  }

  more() {
    return this.read(this.next);
  }

  async read(from) {
    this.control?.abort();
    const control = new AbortController();
    this.control = control;
    Object.assign(this, { busy: true, failure: '' });
    this.changed();
    try {
      const conditions = this.where.conditions();
      let cursor = from;
      let found = 0;
      do {
        // a page of a filtered queue may be empty though more follow
        const answer = await get(
          path('leveret', 'queues', this.vhost, this.queue, 'messages') +
            query([
              ['from', cursor],
              ['count', PAGE],
              ['encoding', 'auto'],
              ['truncate', 65536],
              ...conditions.map((condition) => ['where', condition]),
            ]),
          control.signal,
        );
        this.messages.push(...answer.messages);
        found += answer.messages.length;
        cursor = answer.next;
        this.next = cursor;
        this.changed();
      } while (cursor !== null && found < PAGE);
      if (this.messages.length > KEPT) {
        this.messages.splice(0, this.messages.length - KEPT);
        this.oldest = true;
      }
    } catch (error) {
      if (error.name === 'AbortError') return;
      this.failure = error.message;
    }
    if (this.control === control) this.busy = false;
    this.changed();
  }

  pick(position, on) {
    if (on) this.picked.add(position);
    else this.picked.delete(position);
    this.changed();
  }

  /** What the actions are about: those selected, or all that the filter matches. */
  selection() {
    return this.picked.size ? { positions: [...this.picked] } : { where: this.where.conditions() };
  }

  draw({ verbs = ['redrive', 'move', 'delete'], none }) {
    if (!this.started) this.start();
    return h(
      'div',
      { class: 'stack' },
      this.where.draw(this.changed, () => this.start()),
      this.tools(verbs),
      this.failure && h('p', { class: 'note bad', role: 'alert' }, this.failure),
      this.oldest &&
        h(
          'p',
          { class: 'soft small' },
          `The page holds ${count(KEPT)} messages; the first ones read have left it.`,
        ),
      h(
        'ul',
        { class: 'messages' },
        this.messages.map((message) => this.line(message)),
      ),
      !this.messages.length &&
        !this.busy &&
        !this.failure &&
        (this.where.conditions().length
          ? empty('No message matches', 'Change the conditions, or take one away.')
          : none),
      h(
        'div',
        { class: 'row' },
        this.next !== null &&
          h(
            'button',
            { type: 'button', disabled: this.busy, onclick: () => this.more() },
            this.busy ? 'Reading…' : `Show ${PAGE} more`,
          ),
        this.busy && h('span', { class: 'soft', role: 'status' }, 'Searching…'),
      ),
    );
  }

  line(message) {
    const { position } = message;
    const picked = this.picked.has(position);
    return messageLine(message, {
      label: position,
      picked,
      open: this.opened.has(position),
      onOpen: () => {
        if (!this.opened.delete(position)) this.opened.add(position);
        this.changed();
      },
      choice: h('input', {
        type: 'checkbox',
        checked: picked,
        'aria-label': `Select message ${position}`,
        onchange: (event) => this.pick(position, event.target.checked),
      }),
    });
  }

  tools(verbs) {
    const all =
      this.messages.length > 0 && this.messages.every((one) => this.picked.has(one.position));
    const about = this.picked.size
      ? `${count(this.picked.size)} selected`
      : this.where.conditions().length
        ? 'all that match'
        : 'all';
    const word = { redrive: 'Redrive', move: 'Move', delete: 'Delete' };
    return h(
      'div',
      { class: 'tools' },
      h(
        'label',
        { class: 'check' },
        h('input', {
          type: 'checkbox',
          checked: all,
          disabled: !this.messages.length,
          onchange: (event) => {
            this.picked = new Set(
              event.target.checked ? this.messages.map((one) => one.position) : [],
            );
            this.changed();
          },
        }),
        'Select what is shown',
      ),
      h(
        'span',
        { class: 'soft' },
        `${count(this.messages.length)} shown${this.next === null ? '' : ', more follow'}`,
      ),
      h('span', { class: 'room' }),
      h('button', { type: 'button', onclick: () => this.start() }, 'Read anew'),
      verbs.map((verb) =>
        h(
          'button',
          {
            key: verb,
            type: 'button',
            class: verb === 'delete' ? 'danger' : undefined,
            disabled: !this.messages.length,
            onclick: async () => {
              if (await change(verb, this.vhost, this.queue, this.selection())) this.start();
            },
          },
          `${word[verb]} ${about}…`,
        ),
      ),
    );
  }
}
