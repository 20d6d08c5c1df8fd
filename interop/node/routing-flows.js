// Flows about where a message goes: exchange types, bindings between exchanges, alternates.

import { Consumer, drain, equal, publish } from './harness.js';

const FIELDS = {
  boolean: true,
  int: -70_000,
  long: 2 ** 40 + 1,
  decimal: { '!': 'decimal', value: { places: 2, digits: 314 } },
  timestamp: { '!': 'timestamp', value: Date.UTC(2026, 0, 2, 3, 4, 5) / 1000 },
  text: 'Häschen 🐇',
  bytes: Buffer.from([0x00, 0xff, 0x80]),
  void: null,
  array: [1, 'two', false, null, [Buffer.from([0])], { deep: 3 }],
  table: { inner: { key: 'value' }, empty: {}, nothing: [] },
};
const PROPERTIES = {
  contentType: 'text/plain', contentEncoding: 'utf-8', deliveryMode: 1, priority: 3,
  correlationId: 'c-1', replyTo: 'somewhere', expiration: '60000', messageId: 'm-1',
  timestamp: 1_767_323_045, type: 'sample', userId: 'guest', appId: 'interop',
};

const keysOf = (messages) => messages.map(([key]) => key);
const bodiesOf = (messages) => messages.map(([, body]) => body);

export const routingFlows = {
  // fanout: each subscriber's own queue gets every message, until it is unbound.
  async publish_subscribe(flow) {
    const channel = await flow.channel();
    const news = await flow.exchange(channel, 'news', 'fanout');
    const readers = [];
    for (let number = 0; number < 2; number += 1) {
      const { queue } = await channel.assertQueue('', { exclusive: true, durable: false });
      await channel.bindQueue(queue, news, '');
      readers.push({ queue, consumer: await Consumer.start(channel, queue, { noAck: true }) });
    }
    await publish(channel, news, 'ignored', 'first');
    for (const { consumer } of readers) {
      await consumer.wait(1);
      equal(consumer.bodies(), ['first'], 'body for every subscriber');
    }
    await channel.unbindQueue(readers[0].queue, news, '');
    await publish(channel, news, '', 'second');
    await readers[1].consumer.wait(2);
    equal(readers[0].consumer.bodies(), ['first'], 'what the unbound subscriber has');
  },

  // direct: the routing key must equal the binding key; several keys may lead to one queue.
  async routing(flow) {
    const channel = await flow.channel();
    const logs = await flow.exchange(channel, 'logs', 'direct', { durable: true });
    const errors = await flow.queue(channel, 'errors');
    const everything = await flow.queue(channel, 'everything');
    await channel.bindQueue(errors, logs, 'error');
    for (const severity of ['info', 'warning', 'error']) {
      await channel.bindQueue(everything, logs, severity);
    }
    for (const severity of ['info', 'error', 'debug', 'warning', 'error']) {
      await publish(channel, logs, severity, severity.toUpperCase());
    }
    const expected = (...keys) => keys.map((key) => [key, key.toUpperCase()]);
    equal(await drain(channel, errors), expected('error', 'error'), 'messages in errors');
    equal(await drain(channel, everything), expected('info', 'error', 'warning', 'error'),
      'messages in everything');
  },

  // topic: `*` is one word, `#` any number of them, and two matching bindings make one copy.
  async topics(flow) {
    const channel = await flow.channel();
    const animals = await flow.exchange(channel, 'animals', 'topic');
    const bound = async (name, ...patterns) => {
      const queue = await flow.queue(channel, name);
      for (const pattern of patterns) await channel.bindQueue(queue, animals, pattern);
      return async () => keysOf(await drain(channel, queue));
    };
    const orange = await bound('orange', '*.orange.*');
    const rabbits = await bound('rabbits', '*.*.rabbit', 'lazy.#');
    const all = await bound('all', '#');
    const middle = await bound('middle', 'quick.#.fox');
    const keys = ['quick.orange.rabbit', 'lazy.orange.elephant', 'quick.orange.fox',
      'lazy.pink.rabbit', 'quick.brown.fox', 'orange', 'quick.orange.new.rabbit', 'lazy',
      'quick.fox', ''];
    for (const key of keys) await publish(channel, animals, key, '');
    equal(await orange(), keys.slice(0, 3), 'keys matching *.orange.*');
    equal(await rabbits(), [keys[0], keys[1], keys[3], 'lazy'], 'keys of two patterns, once each');
    equal(await all(), keys, 'keys matching #');
    equal(await middle(), ['quick.orange.fox', 'quick.brown.fox', 'quick.fox'],
      'keys matching quick.#.fox');
  },

  // headers: x-match all and any; and every field type and property arrives as it was sent.
  async headers(flow) {
    const channel = await flow.channel();
    const papers = await flow.exchange(channel, 'papers', 'headers');
    const both = await flow.queue(channel, 'both');
    const either = await flow.queue(channel, 'either');
    const wanted = { format: 'pdf', pages: 7 };
    await channel.bindQueue(both, papers, '', { 'x-match': 'all', ...wanted });
    await channel.bindQueue(either, papers, '', { 'x-match': 'any', ...wanted });
    const samples = [wanted, { ...wanted, more: 1 }, { format: 'pdf' },
      { format: 'zip', pages: 7 }, { format: 'zip' }, {}];
    for (const [number, headers] of samples.entries()) {
      await publish(channel, papers, '', String(number), { headers });
    }
    equal(bodiesOf(await drain(channel, both)), ['0', '1'], 'matched by all');
    equal(bodiesOf(await drain(channel, either)), ['0', '1', '2', '3'], 'matched by any');

    await publish(channel, '', both, '', { headers: FIELDS, ...PROPERTIES });
    const { properties } = await channel.get(both, { noAck: true });
    for (const [key, value] of Object.entries(FIELDS)) {
      equal(properties.headers[key], value, `header ${key}`);
    }
    equal(Object.keys(properties.headers).length, Object.keys(FIELDS).length, 'number of headers');
    for (const [key, value] of Object.entries(PROPERTIES)) {
      equal(properties[key], value, `property ${key}`);
    }
  },

  // Exchanges bound to exchanges: chained patterns, one copy for two ways, and unbinding.
  async exchange_to_exchange(flow) {
    const channel = await flow.channel();
    const source = await flow.exchange(channel, 'source', 'topic');
    const relay = await flow.exchange(channel, 'relay', 'fanout');
    const queue = await flow.queue(channel, 'queue');
    await channel.bindExchange(relay, source, 'orders.#');
    await channel.bindQueue(queue, relay, '');
    await channel.bindQueue(queue, source, '*.paid');
    for (const key of ['orders.new', 'orders.paid', 'parcels.sent']) {
      await publish(channel, source, key, '');
    }
    equal(keysOf(await drain(channel, queue)), ['orders.new', 'orders.paid'], 'keys by relay');
    await channel.unbindExchange(relay, source, 'orders.#');
    await publish(channel, source, 'orders.new', '');
    equal(await drain(channel, queue), [], 'messages after unbinding the exchanges');
  },

  // What no binding takes goes to the alternate exchange, and is then not returned.
  async alternate_exchange(flow) {
    const channel = await flow.channel();
    const rest = await flow.exchange(channel, 'rest', 'fanout');
    const main = await flow.exchange(channel, 'main', 'direct', { alternateExchange: rest });
    const known = await flow.queue(channel, 'known');
    const unknown = await flow.queue(channel, 'unknown');
    await channel.bindQueue(known, main, 'known');
    await channel.bindQueue(unknown, rest, '');
    const send = (key, body) => publish(channel, main, key, body, { mandatory: true });
    equal(await send('known', '1'), null, 'return of a message that was bound for');
    equal(await send('other', '2'), null, 'return of a message that the alternate routed');
    equal(await drain(channel, known), [['known', '1']], 'messages bound for');
    equal(await drain(channel, unknown), [['other', '2']], 'messages of the alternate exchange');
    await channel.unbindQueue(unknown, rest, '');
    equal((await send('other', '3'))?.fields.replyCode, 312,
      'reply code of the return of what the alternate cannot route either');
  },
};
