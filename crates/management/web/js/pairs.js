/**
 * Owns the part of a form in which names and values are written: arguments, policy keys, headers.
 * Known names are offered with their kind and meaning; any other may be written.
 */
import { h } from './dom.js';

const KINDS = [
  ['text', 'text'],
  ['number', 'number'],
  ['boolean', 'boolean'],
  ['json', 'JSON'],
];
let lists = 0;

export class Pairs {
  /** `known` are entries of a vocabulary; `start` is an object of what there is already. */
  constructor(known = [], start = {}) {
    this.known = new Map(known.map((one) => [one[0], one]));
    this.id = `pairs-${(lists += 1)}`;
    this.rows = [];
    for (const [name, value] of Object.entries(start)) this.add(name, value);
  }

  add(name = '', value = '') {
    const kind = kindOf(value);
    const text = kind === 'json' ? JSON.stringify(value) : String(value);
    this.rows.push({ name, text, kind, key: `${this.id}-${this.rows.length}-${Math.random()}` });
  }

  draw(redraw, label = 'Add') {
    return h(
      'div',
      { class: 'pairs' },
      h(
        'datalist',
        { id: this.id },
        [...this.known.values()].map(([name, , meaning]) => h('option', { value: name }, meaning)),
      ),
      this.rows.map((row) => this.row(row, redraw)),
      h(
        'div',
        { class: 'row' },
        h(
          'button',
          {
            type: 'button',
            onclick: () => {
              this.add();
              redraw();
            },
          },
          label,
        ),
      ),
    );
  }

  row(row, redraw) {
    const entry = this.known.get(row.name);
    const words = Array.isArray(entry?.[1])
      ? entry[1]
      : row.kind === 'boolean'
        ? ['true', 'false']
        : null;
    return h(
      'div',
      { class: 'pair', key: row.key, title: entry?.[2] },
      h('input', {
        list: this.id,
        value: row.name,
        placeholder: 'name',
        'aria-label': 'Name',
        autocomplete: 'off',
        onchange: (event) => {
          row.name = event.target.value.trim();
          const kind = this.known.get(row.name)?.[1];
          if (kind) row.kind = Array.isArray(kind) ? 'text' : kind;
          if (Array.isArray(kind) && !kind.includes(row.text)) [row.text] = kind;
          if (kind === 'boolean' && row.text !== 'false') row.text = 'true';
          redraw();
        },
      }),
      words
        ? h(
            'select',
            {
              key: 'words',
              'aria-label': 'Value',
              onchange: (event) => {
                row.text = event.target.value;
              },
            },
            words.map((word) => h('option', { value: word, selected: word === row.text }, word)),
          )
        : h('input', {
            key: 'value',
            value: row.text,
            placeholder: 'value',
            'aria-label': `Value of ${row.name}`,
            inputmode: row.kind === 'number' ? 'numeric' : undefined,
            oninput: (event) => {
              row.text = event.target.value;
            },
          }),
      h(
        'select',
        {
          'aria-label': 'Kind',
          onchange: (event) => {
            row.kind = event.target.value;
            if (row.kind === 'boolean' && row.text !== 'false') row.text = 'true';
            redraw();
          },
        },
        KINDS.map(([kind, word]) =>
          h('option', { value: kind, selected: kind === row.kind }, word),
        ),
      ),
      h(
        'button',
        {
          type: 'button',
          class: 'plain',
          'aria-label': `Remove ${row.name || 'this line'}`,
          onclick: () => {
            this.rows.splice(this.rows.indexOf(row), 1);
            redraw();
          },
        },
        '×',
      ),
    );
  }

  /** What was written, as an object. Throws a sentence if a value is not of its kind. */
  value() {
    const result = {};
    for (const { name, text, kind } of this.rows) {
      if (!name) continue;
      if (kind === 'number') {
        const number = Number(text.trim());
        if (text.trim() === '' || !Number.isFinite(number)) {
          throw new Error(`“${name}” must be a number, and “${text}” is none.`);
        }
        result[name] = number;
      } else if (kind === 'boolean') result[name] = text === 'true';
      else if (kind === 'json') {
        try {
          result[name] = JSON.parse(text);
        } catch {
          throw new Error(`“${name}” is not JSON: ${text}`);
        }
      } else result[name] = text;
    }
    return result;
  }
}

function kindOf(value) {
  if (typeof value === 'number') return 'number';
  if (typeof value === 'boolean') return 'boolean';
  return value !== null && typeof value === 'object' ? 'json' : 'text';
}
