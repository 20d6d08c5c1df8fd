/**
 * Owns the charts: lines over time in SVG, with a legend that shows and hides them and a cross
 * that follows the pointer. It keeps no data; who draws hands it all points each time.
 */
import { h, render } from './dom.js';
import { time } from './format.js';

const HEIGHT = 150;
const PAD = { left: 44, right: 10, top: 8, bottom: 18 };

export class Chart {
  constructor(element) {
    this.element = element;
    element.className = 'chart';
    this.hidden = new Set();
    this.width = 400;
    this.at = null;
    this.watch = new ResizeObserver((entries) => {
      const width = Math.round(entries[0].contentRect.width);
      if (width > 0 && width !== this.width) {
        this.width = width;
        this.draw();
      }
    });
    this.watch.observe(element);
  }

  /** `{label, series: [{name, colour 1-6, points: [[ms, value]]}], format, area, base}`. */
  update(data) {
    this.data = data;
    this.draw();
  }

  close() {
    this.watch.disconnect();
  }

  draw() {
    const { series, format, label } = this.data;
    const shown = series.filter((one) => !this.hidden.has(one.name));
    const times = series.flatMap((one) => one.points.map((point) => point[0]));
    const from = Math.min(...times);
    const until = Math.max(...times);
    const top = ceiling(greatest(shown), this.data.base);
    const scale = {
      from,
      until,
      top,
      x: (t) =>
        PAD.left + ((t - from) / Math.max(1, until - from)) * (this.width - PAD.left - PAD.right),
      y: (v) => HEIGHT - PAD.bottom - (v / top) * (HEIGHT - PAD.top - PAD.bottom),
    };
    const known = times.length > 1 && until > from;
    render(
      this.element,
      h(
        'svg',
        {
          viewBox: `0 0 ${this.width} ${HEIGHT}`,
          height: String(HEIGHT),
          role: 'img',
          'aria-label': summary(label, series, format),
          onpointermove: (event) => this.point(event, scale),
          onpointerleave: () => this.leave(),
        },
        this.grid(scale, format, known),
        known
          ? shown.map((one) => this.line(one, scale))
          : h(
              'text',
              { x: this.width / 2, y: HEIGHT / 2 - 26, 'text-anchor': 'middle' },
              'Waiting for a second reading',
            ),
        known && this.cross(shown, scale),
      ),
      this.legend(series, format),
    );
  }

  grid(scale, format, known) {
    const marks = [0, 0.5, 1].map((part) => part * scale.top);
    const lines = marks.map((mark) =>
      h(
        'g',
        null,
        h('line', {
          class: 'grid',
          x1: PAD.left,
          x2: this.width - PAD.right,
          y1: scale.y(mark),
          y2: scale.y(mark),
        }),
        h('text', { x: PAD.left - 6, y: scale.y(mark) + 3, 'text-anchor': 'end' }, format(mark)),
      ),
    );
    if (!known) return lines;
    const steps = this.width > 420 ? 4 : 2;
    const labels = [];
    for (let step = 0; step <= steps; step += 1) {
      const t = scale.from + ((scale.until - scale.from) * step) / steps;
      const anchor = step === 0 ? 'start' : step === steps ? 'end' : 'middle';
      labels.push(h('text', { x: scale.x(t), y: HEIGHT - 4, 'text-anchor': anchor }, time(t)));
    }
    return [lines, labels];
  }

  line(one, scale) {
    if (!one.points.length) return null;
    const path = one.points
      .map(([t, v], at) => `${at ? 'L' : 'M'}${scale.x(t).toFixed(1)} ${scale.y(v).toFixed(1)}`)
      .join('');
    const [first, last] = [one.points[0], one.points[one.points.length - 1]];
    const floor = scale.y(0).toFixed(1);
    const area =
      `${path}L${scale.x(last[0]).toFixed(1)} ${floor}` +
      `L${scale.x(first[0]).toFixed(1)} ${floor}Z`;
    return h(
      'g',
      { key: one.name, class: `c${one.colour}` },
      this.data.area && h('path', { class: 'fill', d: area }),
      h('path', { class: 'stroke', d: path }),
    );
  }

  cross(shown, scale) {
    if (this.at === null) return null;
    const x = scale.x(Math.min(scale.until, Math.max(scale.from, this.at)));
    return h(
      'g',
      { key: 'cross' },
      h('line', { class: 'cross', x1: x, x2: x, y1: PAD.top, y2: HEIGHT - PAD.bottom }),
      shown.map((one) => {
        const point = nearest(one.points, this.at);
        return (
          point &&
          h('circle', {
            key: one.name,
            class: `dot c${one.colour}`,
            r: '3',
            cx: scale.x(point[0]),
            cy: scale.y(point[1]),
          })
        );
      }),
    );
  }

  legend(series, format) {
    return h(
      'div',
      { class: 'legend' },
      series.map((one) => {
        const last = one.points[one.points.length - 1];
        const point = this.at === null ? last : nearest(one.points, this.at);
        return h(
          'button',
          {
            key: one.name,
            type: 'button',
            class: `c${one.colour}`,
            'aria-pressed': String(!this.hidden.has(one.name)),
            title: 'Show or hide',
            onclick: () => this.toggle(one.name),
          },
          one.name,
          ' ',
          h('b', null, point ? format(point[1]) : '–'),
        );
      }),
      this.at !== null && h('span', { class: 'soft small' }, ` at ${time(this.at)}`),
    );
  }

  toggle(name) {
    if (!this.hidden.delete(name)) this.hidden.add(name);
    this.draw();
  }

  point(event, scale) {
    const box = event.currentTarget.getBoundingClientRect();
    const inside = (event.clientX - box.left - PAD.left) / (box.width - PAD.left - PAD.right);
    this.at = scale.from + Math.min(1, Math.max(0, inside)) * (scale.until - scale.from);
    if (Number.isFinite(this.at)) this.draw();
    else this.at = null;
  }

  leave() {
    this.at = null;
    this.draw();
  }
}

function greatest(series) {
  let most = 0;
  for (const one of series) for (const point of one.points) most = Math.max(most, point[1]);
  return most;
}

// A round number not below the greatest value, so that the lines between have round numbers too;
// sizes (`base` 1024) are round in their own unit.
function ceiling(most, base) {
  if (!(most > 0)) return 1;
  const unit = base ? base ** Math.floor(Math.log(most) / Math.log(base)) : 1;
  const power = unit * 10 ** Math.floor(Math.log10(most / unit));
  return [1, 2, 4, 5, 10].find((step) => step * power >= most) * power;
}

function nearest(points, at) {
  let best = null;
  for (const point of points) {
    if (!best || Math.abs(point[0] - at) < Math.abs(best[0] - at)) best = point;
  }
  return best;
}

function summary(label, series, format) {
  const now = series.map((one) => {
    const last = one.points[one.points.length - 1];
    return `${one.name} ${last ? format(last[1]) : 'not known'}`;
  });
  return `${label}: ${now.join(', ')}`;
}
