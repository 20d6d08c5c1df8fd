// What every flow needs: connections, checked assertions, waits that end, and tidying up.
//
// A flow is an async function taking a `Flow`. It fails by rejecting with anything at all; `run`
// prints one line for each. Nothing here knows what the flows do.

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect, isDeepStrictEqual } from 'node:util';

import amqp from 'amqplib';

const WAIT_MS = 10_000; // the longest any single wait takes
const FLOW_MS = 60_000; // the longest a whole flow takes, whatever it is stuck in
export const URI = process.env.AMQP_URL ?? 'amqp://guest:guest@127.0.0.1:5672/%2F';
const RUN = randomUUID().slice(0, 8);

export function check(condition, message) {
  if (!condition) throw new Error(message);
}

export function equal(actual, expected, what) {
  const show = (value) => inspect(value, { breakLength: Infinity, compact: true, depth: null });
  check(isDeepStrictEqual(actual, expected),
    `${what}: expected ${show(expected)}, got ${show(actual)}`);
}

/** What `promise` gives, or a rejection with `message` when it takes too long. */
export async function within(promise, message, limit = WAIT_MS) {
  const timer = new AbortController();
  const late = sleep(limit, undefined, { signal: timer.signal }).then(() => {
    throw new Error(message);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer.abort();
  }
}

/** Polls until `condition()` holds: for effects that the protocol does not acknowledge. */
export async function eventually(condition, message) {
  const deadline = Date.now() + WAIT_MS;
  while (!(await condition())) {
    check(Date.now() < deadline, message());
    await sleep(5);
  }
}

/** One flow's connections and names; everything it declared is gone after `close`. */
class Flow {
  #name;
  #connections = [];
  #queues = [];
  #exchanges = [];
  errors = []; // what the broker said when it closed something, asked for or not

  constructor(name) {
    this.#name = name;
  }

  unique(suffix) {
    return `interop.node.${RUN}.${this.#name}.${suffix}`;
  }

  async connect({ heartbeat } = {}) {
    const uri = new URL(URI);
    if (heartbeat) uri.searchParams.set('heartbeat', heartbeat);
    const connection = await amqp.connect(uri.href, { timeout: WAIT_MS });
    connection.on('error', (error) => this.errors.push(error.message));
    this.#connections.push(connection);
    return connection;
  }

  /** A channel in confirm mode, for `publish`. */
  async channel(connection) {
    connection ??= await this.connect();
    return this.#listen(await connection.createConfirmChannel());
  }

  async plainChannel(connection) {
    connection ??= await this.connect();
    return this.#listen(await connection.createChannel());
  }

  #listen(channel) {
    return channel.on('error', (error) => this.errors.push(error.message));
  }

  async queue(channel, suffix, options) {
    const name = this.unique(suffix);
    this.#queues.push(name);
    await channel.assertQueue(name, { durable: false, ...options });
    return name;
  }

  async exchange(channel, suffix, type, options) {
    const name = this.unique(suffix);
    this.#exchanges.push(name);
    await channel.assertExchange(name, type, { durable: false, ...options });
    return name;
  }

  async close() {
    await Promise.allSettled(this.#connections.map((connection) => connection.close()));
    const connection = await amqp.connect(URI, { timeout: WAIT_MS });
    const channel = await connection.createChannel();
    for (const name of this.#queues) await channel.deleteQueue(name);
    for (const name of this.#exchanges) await channel.deleteExchange(name);
    await connection.close();
  }
}

/** Collects deliveries; `wait` gives them once enough came. */
export class Consumer {
  deliveries = [];

  static async start(channel, queue, options) {
    const consumer = new Consumer();
    consumer.channel = channel;
    const collect = (message) => message && consumer.deliveries.push(message);
    consumer.tag = (await channel.consume(queue, collect, options)).consumerTag;
    return consumer;
  }

  async wait(count) {
    await eventually(() => this.deliveries.length >= count,
      () => `waited for ${count} deliveries, got ${inspect(this.bodies())}`);
    equal(this.deliveries.length, count, 'number of deliveries');
    return this.deliveries;
  }

  bodies() {
    return this.deliveries.map((message) => message.content.toString());
  }

  redelivered() {
    return this.deliveries.map((message) => message.fields.redelivered);
  }

  ack(position) {
    this.channel.ack(this.deliveries[position]);
  }
}

/** Publishes and waits for the confirm; gives the message if the broker returned it, else null. */
export function publish(channel, exchange, key, body, options) {
  const confirmed = new Promise((resolve, reject) => {
    let returned = null;
    const keep = (message) => {
      returned = message;
    };
    channel.once('return', keep);
    channel.publish(exchange, key, Buffer.from(body), options, (error) => {
      channel.off('return', keep);
      if (error) reject(error);
      else resolve(returned);
    });
  });
  return within(confirmed, 'a publish was not confirmed');
}

/** All [routing key, body] that lie in a queue, in order. */
export async function drain(channel, queue) {
  const messages = [];
  for (let message; (message = await channel.get(queue, { noAck: true }));) {
    messages.push([message.fields.routingKey, message.content.toString()]);
  }
  return messages;
}

/** How many messages lie ready in a queue. */
export async function ready(channel, queue) {
  return (await channel.checkQueue(queue)).messageCount;
}

/** Asserts that the broker answers `action()` by closing a channel or connection with `code`. */
export async function closes(code, closed, action) {
  const closing = once(closed, 'error');
  action().catch(() => {}); // the event tells more
  const [error] = await within(closing, `the broker should have closed with ${code}`);
  equal(error.code, code, `reply code of the closing (${error.message})`);
}

/** Whether the passive declaration `declare(channel)` finds what it names. */
export async function exists(connection, declare) {
  const channel = await connection.createChannel();
  channel.on('error', () => {}); // the declaration rejects with it too
  try {
    await declare(channel);
  } catch (error) {
    equal(error.code, 404, `reply code for something missing (${error.message})`);
    return false;
  }
  await channel.close();
  return true;
}

async function runOne(name, body) {
  const flow = new Flow(name);
  const started = performance.now();
  const problems = [];
  const attempt = (promise) => within(promise, `took longer than ${FLOW_MS} ms`, FLOW_MS)
    .catch((error) => problems.push(error.message));
  await attempt(body(flow));
  if (problems.length) problems.push(...flow.errors);
  await attempt(flow.close());
  const took = `${name} ${Math.round(performance.now() - started)} ms`;
  console.log(problems.length ? `FAIL ${took} ${problems.join('; ')}` : `ok ${took}`);
  return problems.length === 0;
}

/** Runs the flows named on the command line, or all; exits non-zero when one failed. */
export async function run(flows) {
  const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(flows);
  let failed = 0;
  for (const name of wanted) {
    const body = flows[name] ?? (async () => check(false, 'there is no such flow'));
    if (!(await runOne(name, body))) failed += 1;
  }
  process.exit(failed ? 1 : 0); // also when a failed flow left something open
}
