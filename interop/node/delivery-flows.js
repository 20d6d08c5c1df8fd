// Flows about how a queue hands messages out: fairness, requeueing, sizes, priorities, cancels.

import { createHash, randomBytes } from 'node:crypto';

import { Consumer, drain, equal, eventually, publish, ready } from './harness.js';

async function worker(channel, queue, prefetch, options) {
  await channel.prefetch(prefetch);
  return Consumer.start(channel, queue, options);
}

const sha256 = (body) => createHash('sha256').update(body).digest('hex');

export const deliveryFlows = {
  // Two workers with prefetch 1: a busy one gets no second task; its task returns if it dies.
  async work_queue(flow) {
    const channel = await flow.channel();
    const tasks = await flow.queue(channel, 'tasks', { durable: true });
    const connection = await flow.connect();
    const busy = await worker(await flow.plainChannel(connection), tasks, 1);
    const quick = await worker(await flow.plainChannel(connection), tasks, 1);
    const numbers = ['0', '1', '2', '3', '4', '5'];
    for (const number of numbers) await publish(channel, '', tasks, number, { persistent: true });
    await busy.wait(1);
    for (let done = 1; done < 6; done += 1) {
      await quick.wait(done);
      quick.ack(done - 1);
    }
    equal(busy.deliveries.length, 1, 'tasks given to the busy worker');
    equal([...busy.bodies(), ...quick.bodies()].sort(), numbers, 'all tasks');
    equal([...busy.redelivered(), ...quick.redelivered()], Array(6).fill(false),
      'redelivered flags');
    equal(quick.bodies(), quick.bodies().sort(), "order of the quick worker's tasks");

    await busy.channel.close();
    const last = (await quick.wait(6))[5];
    equal([last.content.toString(), last.fields.redelivered], [busy.bodies()[0], true],
      "the dead worker's task");
    quick.ack(5);
    await quick.channel.close();
    equal(await drain(channel, tasks), [], 'tasks left');
  },

  // basic.get; nack of several at once; what is requeued comes back where it was.
  async get_nack_requeue(flow) {
    const channel = await flow.channel();
    const queue = await flow.queue(channel, 'queue');
    for (const body of ['m1', 'm2', 'm3', 'm4', 'm5']) await publish(channel, '', queue, body);
    const take = async (count) => {
      const messages = [];
      while (messages.length < count) messages.push(await channel.get(queue));
      return messages;
    };
    const seen = (messages) => messages.map(({ content, fields }) =>
      [content.toString(), fields.redelivered]);

    const first = await take(3);
    equal(first.map(({ fields }) => fields.messageCount), [4, 3, 2], 'message counts');
    channel.nack(first[1], true, true);
    equal(seen(await take(3)), [['m1', true], ['m2', true], ['m4', false]],
      'order and redelivered flags after the first nack');
    channel.nack(first[2], false, true);
    const again = await take(1);
    equal(seen(again), [['m3', true]], 'the requeued message, ahead of m5');
    channel.reject(again[0], false);
    channel.ackAll();
    equal(await drain(channel, queue), [[queue, 'm5']], 'what is left');
    equal(await channel.get(queue), false, 'answer of an empty queue');
  },

  // Bodies around the frame size and far above it arrive byte for byte.
  async large_messages(flow) {
    const connection = await flow.connect();
    const channel = await flow.channel(connection);
    const queue = await flow.queue(channel, 'queue');
    const consumer = await Consumer.start(channel, queue);
    const { frameMax } = connection.connection;
    const around = [frameMax - 8, frameMax].flatMap((size) => [size - 1, size, size + 1]);
    const sizes = [0, 1, ...around, 2 * (frameMax - 8), 1 << 20, 16 << 20];
    for (const [position, size] of sizes.entries()) {
      const body = randomBytes(size);
      await publish(channel, '', queue, body);
      const { content } = (await consumer.wait(position + 1))[position];
      equal(content.length, size, 'length of the body');
      equal(sha256(content), sha256(body), `SHA-256 of a body of ${size} bytes`);
      consumer.ack(position);
    }
  },

  // A consumer is told when its queue is deleted, and its channel stays usable.
  async consumer_cancel_notify(flow) {
    const channel = await flow.channel();
    const doomed = await flow.queue(channel, 'doomed');
    const cancelled = [];
    channel.on('cancel', ({ consumerTag }) => cancelled.push(consumerTag));
    const consumer = await Consumer.start(channel, doomed);
    await publish(channel, '', doomed, 'before');
    await consumer.wait(1);
    await (await flow.plainChannel()).deleteQueue(doomed);
    await eventually(() => cancelled.length > 0, () => 'no basic.cancel came');
    equal(cancelled, [consumer.tag], 'cancelled consumers');
    const other = await flow.queue(channel, 'other');
    await publish(channel, '', other, 'after');
    equal(await drain(channel, other), [[other, 'after']], 'messages through the same channel');
  },

  // x-priority: the higher consumer first while it has room. Single active: one, then the next.
  async priorities_and_sac(flow) {
    const channel = await flow.channel();
    let queue = await flow.queue(channel, 'priorities');
    const low = await worker(await flow.plainChannel(), queue, 2, { priority: -1 });
    const high = await worker(await flow.plainChannel(), queue, 2, { priority: 10 });
    for (const body of ['0', '1', '2']) await publish(channel, '', queue, body);
    await high.wait(2);
    await low.wait(1);
    equal([high.bodies(), low.bodies()], [['0', '1'], ['2']], 'high first, the rest to low');
    high.ack(0);
    await ready(high.channel, queue); // the queue has seen the ack: publishes go another way
    await publish(channel, '', queue, '3');
    await high.wait(3);
    equal(high.bodies()[2], '3', 'message after high has room again');
    equal(low.deliveries.length, 1, 'deliveries to low');

    const single = { arguments: { 'x-single-active-consumer': true } };
    queue = await flow.queue(channel, 'single', single);
    const active = await worker(await flow.plainChannel(), queue, 2);
    const waiting = await worker(await flow.plainChannel(), queue, 2);
    for (const body of ['0', '1']) await publish(channel, '', queue, body);
    await active.wait(2);
    active.ack(0);
    equal(await ready(channel, queue), 0, 'messages ready');
    equal(waiting.bodies(), [], 'deliveries to the waiting consumer');
    await active.channel.close();
    const [next] = await waiting.wait(1);
    equal([next.content.toString(), next.fields.redelivered], ['1', true],
      'first message after the fail-over');
    await publish(channel, '', queue, '2');
    await waiting.wait(2);
    equal(waiting.bodies()[1], '2', 'second message after the fail-over');
  },
};
