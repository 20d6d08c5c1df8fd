/**
 * Owns the drawing of elements: `h` describes one, `render` brings a container to a description.
 * Text only ever becomes text nodes and attribute values; no markup is parsed anywhere. An element
 * is kept as long as its tag and key stay, so what is typed, selected or focused stays too.
 */

const SVG = 'http://www.w3.org/2000/svg';
const PROPERTIES = new Set(['value', 'checked', 'disabled', 'selected', 'indeterminate', 'open']);
const INTERNAL = new Set(['key', 'mount', 'style']);

/** Describes an element. A child is a text, a description, a list of these, or nothing. */
export function h(tag, props, ...children) {
  return { tag, props: props ?? {}, key: props?.key, children: flatten(children, []) };
}

/** A `div` that an object of its own draws: `new Kind(element)`, then `update(data)`, `close()`. */
export function owned(Kind, data, props) {
  return { tag: 'div', props: props ?? {}, key: props?.key, children: [], Kind, data };
}

function flatten(children, into) {
  for (const child of children) {
    if (Array.isArray(child)) flatten(child, into);
    else if (child === null || child === undefined || typeof child === 'boolean') {
      into.push({ text: '' }); // keeps the place, so that what follows is matched with itself
    } else if (typeof child === 'object') into.push(child);
    else into.push({ text: String(child) });
  }
  return into;
}

const drawn = new WeakMap();

/** Brings `container` to what `descriptions` say, touching only what changed. */
export function render(container, ...descriptions) {
  const next = flatten(descriptions, []);
  place(container, drawn.get(container) ?? [], next, container.namespaceURI === SVG);
  drawn.set(container, next);
}

function alike(before, after) {
  return before.tag === after.tag && before.key === after.key && before.Kind === after.Kind;
}

function place(parent, before, after, svg) {
  const keyed = new Map();
  const rest = [];
  for (const old of before) {
    if (old.key !== undefined) keyed.set(old.key, old);
    else rest.push(old);
  }
  const kept = new Set();
  let next = 0;
  const pairs = after.map((description) => {
    const old = description.key !== undefined ? keyed.get(description.key) : rest[next++];
    const match = old && !kept.has(old) && alike(old, description) ? old : null;
    if (match) kept.add(match);
    return [match, description];
  });
  for (const old of before) {
    if (kept.has(old)) continue;
    release(old);
    old.element.remove();
  }
  let cursor = parent.firstChild;
  for (const [old, description] of pairs) {
    if (old) adapt(old, description, svg);
    else create(description, svg);
    if (description.element === cursor) cursor = cursor.nextSibling;
    else parent.insertBefore(description.element, cursor);
    if (!old) description.props?.mount?.(description.element);
  }
}

function create(description, svg) {
  if (description.tag === undefined) {
    description.element = document.createTextNode(description.text);
    return;
  }
  const inside = svg || description.tag === 'svg';
  const element = inside
    ? document.createElementNS(SVG, description.tag)
    : document.createElement(description.tag);
  description.element = element;
  if (description.Kind) {
    description.owner = new description.Kind(element);
    description.owner.update(description.data);
  } else place(element, [], description.children, inside);
  assign(element, {}, description.props);
}

function adapt(old, description, svg) {
  if (old === description) return;
  const element = old.element;
  description.element = element;
  if (description.tag === undefined) {
    if (old.text !== description.text) element.data = description.text;
    return;
  }
  if (description.Kind) {
    description.owner = old.owner;
    description.owner.update(description.data);
  } else place(element, old.children, description.children, svg || description.tag === 'svg');
  assign(element, old.props, description.props);
}

function release(description) {
  description.owner?.close?.();
  for (const child of description.children ?? []) release(child);
}

function assign(element, before, after) {
  for (const name of Object.keys(before)) if (!(name in after)) set(element, name, undefined);
  for (const [name, value] of Object.entries(after)) {
    if (name === 'style') paint(element, before.style ?? {}, value ?? {});
    else if (before[name] !== value) set(element, name, value);
  }
}

function paint(element, before, after) {
  for (const name of Object.keys(before)) if (!(name in after)) element.style.removeProperty(name);
  for (const [name, value] of Object.entries(after)) {
    if (before[name] !== value) element.style.setProperty(name, value);
  }
}

function set(element, name, value) {
  if (INTERNAL.has(name)) return;
  if (name.startsWith('on')) element[name] = value ?? null;
  else if (PROPERTIES.has(name)) element[name] = value ?? (name === 'value' ? '' : false);
  else if (value === undefined || value === null || value === false) element.removeAttribute(name);
  else if (name === 'href' && !/^(#|\/|blob:)/.test(value)) element.removeAttribute('href');
  else element.setAttribute(name, value === true ? '' : String(value));
}
