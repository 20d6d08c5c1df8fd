/**
 * Owns the filter of messages: conditions that must all hold, in the words of the API
 * (`FIELD`, `FIELD=VALUE`, `FIELD~TEXT`).
 */
import { h } from './dom.js';
import { PROPERTIES } from './vocabulary.js';

const FIELDS = [
  'routing_key',
  'exchange',
  ...PROPERTIES.map((name) => `properties.${name}`),
  'headers.x-first-death-reason',
  'headers.x-first-death-queue',
  'headers.x-first-death-exchange',
];

let ids = 0;

export class Where {
  constructor() {
    this.id = `where-${(ids += 1)}`;
    this.rows = [];
  }

  /** The conditions as the API wants them; unfinished ones are left out. */
  conditions() {
    return this.rows
      .filter((row) => row.field.trim())
      .map(({ field, test, text }) => {
        const name = field.trim();
        return test === 'is there' ? name : `${name}${test === 'is' ? '=' : '~'}${text}`;
      });
  }

  /** Sets, or takes away, the one condition that a field equals a value. */
  toggle(field, text) {
    const at = this.rows.findIndex((row) => row.field === field);
    const same = at >= 0 && this.rows[at].text === text && this.rows[at].test === 'is';
    if (at >= 0) this.rows.splice(at, 1);
    if (!same) this.rows.push({ field, test: 'is', text, key: `${this.id}-${Math.random()}` });
  }

  has(field, text) {
    return this.rows.some((row) => row.field === field && row.test === 'is' && row.text === text);
  }

  draw(changed, apply) {
    const enter = (event) => {
      if (event.key === 'Enter') apply();
    };
    return h(
      'div',
      { class: 'pairs' },
      h(
        'datalist',
        { id: this.id },
        FIELDS.map((field) => h('option', { value: field })),
      ),
      this.rows.map((row) =>
        h(
          'div',
          { class: 'pair where', key: row.key },
          h('input', {
            list: this.id,
            value: row.field,
            placeholder: 'headers.name',
            'aria-label': 'Field',
            autocomplete: 'off',
            onkeydown: enter,
            oninput: (event) => {
              row.field = event.target.value;
            },
          }),
          h(
            'select',
            {
              'aria-label': 'Condition',
              onchange: (event) => {
                row.test = event.target.value;
                changed();
              },
            },
            ['is', 'contains', 'is there'].map((test) =>
              h('option', { value: test, selected: test === row.test }, test),
            ),
          ),
          h('input', {
            value: row.text,
            placeholder: 'value',
            'aria-label': 'Value',
            onkeydown: enter,
            disabled: row.test === 'is there',
            'data-filter': row === this.rows[0] || undefined,
            oninput: (event) => {
              row.text = event.target.value;
            },
          }),
          h(
            'button',
            {
              type: 'button',
              class: 'plain',
              'aria-label': 'Remove this condition',
              onclick: () => {
                this.rows.splice(this.rows.indexOf(row), 1);
                changed();
                apply();
              },
            },
            '×',
          ),
        ),
      ),
      h(
        'div',
        { class: 'row' },
        h(
          'button',
          {
            type: 'button',
            onclick: () => {
              this.rows.push({
                field: 'routing_key',
                test: 'contains',
                text: '',
                key: `${this.id}-${Math.random()}`,
              });
              changed();
            },
          },
          'Add a condition',
        ),
        this.rows.length > 0 && h('button', { type: 'button', onclick: apply }, 'Search'),
      ),
    );
  }
}
