// Flows about promises: requests answered, confirms, transactions, errors, ownership.

import {
  Consumer, check, closes, drain, equal, eventually, exists, publish, ready, within,
} from './harness.js';

const REPLY_TO = 'amq.rabbitmq.reply-to';

// amqplib has no functions for these, but can send every method and await the reply, one id higher.
const call = (classId, methodId) => (channel, fields = {}) => {
  const id = (classId << 16) + methodId;
  return channel.rpc(id, fields, id + 1);
};
const basicQos = call(60, 10);
const tx = { select: call(90, 10), commit: call(90, 20), rollback: call(90, 30) };

export const reliabilityFlows = {
  // Direct reply-to: answers come without a reply queue, matched by correlation id.
  async rpc(flow) {
    const server = await flow.plainChannel();
    const queue = await flow.queue(server, 'squares');
    const addresses = [];
    await server.consume(queue, (request) => {
      const { replyTo, correlationId } = request.properties;
      const answer = String(Number(request.content) ** 2);
      server.sendToQueue(replyTo, Buffer.from(answer), { correlationId });
      server.ack(request);
      addresses.push(replyTo);
    });
    const client = await flow.plainChannel();
    const answers = await Consumer.start(client, REPLY_TO, { noAck: true });
    for (const number of [3, 4, 5]) {
      client.sendToQueue(queue, Buffer.from(String(number)),
        { replyTo: REPLY_TO, correlationId: `id-${number}` });
    }
    const got = (await answers.wait(3)).map(({ properties, content }) =>
      [properties.correlationId, content.toString()]);
    equal(addresses.length, 3, 'requests that the server got');
    equal(got, [['id-3', '9'], ['id-4', '16'], ['id-5', '25']], 'answers');
    check(addresses.every((address) => address.startsWith(`${REPLY_TO}.`)),
      `reply addresses: ${addresses}`);
  },

  // Every publish is confirmed once; an unroutable mandatory one is returned before that.
  async confirms_returns(flow) {
    const watch = await flow.channel();
    const queue = await flow.queue(watch, 'queue');
    const channel = await flow.channel();
    const log = []; // what the broker sent, in order
    channel.on('ack', ({ deliveryTag, multiple }) => log.push({ ack: deliveryTag, multiple }));
    channel.on('return', ({ fields }) => log.push({ code: fields.replyCode, key: fields.routingKey }));
    for (let number = 0; number < 100; number += 1) {
      channel.sendToQueue(queue, Buffer.from(String(number)));
    }
    channel.publish('amq.direct', 'nowhere', Buffer.alloc(0), { mandatory: true });
    await within(channel.waitForConfirms(), 'confirms are missing');

    const confirmed = new Set();
    for (const { ack, multiple } of log.filter((entry) => entry.ack)) {
      check(!confirmed.has(ack), `tag ${ack} was confirmed twice`);
      for (let tag = multiple ? 1 : ack; tag <= ack; tag += 1) confirmed.add(tag);
    }
    equal(confirmed.size, 101, 'number of confirmed tags');
    equal(log.filter((entry) => entry.code), [{ code: 312, key: 'nowhere' }], 'returns');
    check(log.findIndex((entry) => entry.code) < log.findIndex((entry) => entry.ack === 101),
      'the return must come before its confirm');
    equal(await ready(watch, queue), 100, 'messages in the queue');
    const returned = await publish(channel, '', flow.unique('missing'), '', { mandatory: true });
    equal(returned?.fields.replyText, 'NO_ROUTE', 'reply text of the return from a missing queue');
  },

  // Publishes and acks take effect at commit, and not at all after a rollback.
  async transactions(flow) {
    const connection = await flow.connect();
    const watch = await flow.plainChannel(connection);
    const queue = await flow.queue(watch, 'queue');
    const channel = await flow.plainChannel(connection);
    const send = (body) => channel.sendToQueue(queue, Buffer.from(body));
    const get = async (expected, what) => {
      const message = await channel.get(queue);
      equal(message && message.content.toString(), expected, what);
      return message;
    };
    await tx.select(channel);
    send('1');
    send('2');
    equal(await ready(watch, queue), 0, 'messages before commit');
    await tx.commit(channel);
    equal(await ready(watch, queue), 2, 'messages after commit');
    send('3');
    await tx.rollback(channel);
    await tx.commit(channel);
    equal(await ready(watch, queue), 2, 'messages after rollback');

    const first = await get('1', 'first message');
    channel.ack(first);
    await tx.rollback(channel);
    channel.ack(first); // allowed: the first ack never happened
    await tx.commit(channel);
    channel.ack(await get('2', 'second message'));
    await channel.close(); // without commit: the message returns
    const last = await watch.get(queue, { noAck: true });
    equal(last && [last.content.toString(), last.fields.redelivered], ['2', true],
      'message whose ack was not committed');
    equal(await drain(watch, queue), [], 'messages left');
  },

  // A channel error costs the channel, a connection error the connection; both can go on.
  async reconnect_after_forced_close(flow) {
    const connection = await flow.connect();
    const doomed = await flow.channel(connection);
    const queue = await flow.queue(doomed, 'queue', { durable: true });
    await closes(404, doomed, () => publish(doomed, flow.unique('missing'), '', ''));
    const second = await flow.channel(connection); // a channel error left the connection open
    await publish(second, '', queue, 'kept');

    await closes(540, connection, () => basicQos(second, { prefetchSize: 10 }));

    const channel = await flow.channel();
    await publish(channel, '', queue, 'new');
    const consumer = await Consumer.start(channel, queue, { noAck: true });
    await consumer.wait(2);
    equal(consumer.bodies(), ['kept', 'new'], 'messages after reconnecting');
  },

  // An exclusive queue is its connection's own; auto-delete goes with the last user.
  async exclusive_and_auto_delete(flow) {
    const owner = await flow.connect();
    const other = await flow.connect();
    const found = (queue) => exists(other, (channel) => channel.checkQueue(queue));
    const mine = await flow.queue(await flow.plainChannel(owner), 'private', { exclusive: true });
    const passive = await flow.plainChannel(other);
    await closes(405, passive, () => passive.checkQueue(mine));
    const consuming = await flow.plainChannel(other);
    await closes(405, consuming, () => consuming.consume(mine, () => {}));
    await owner.close();
    await eventually(async () => !(await found(mine)),
      () => 'the exclusive queue outlived its connection');

    const channel = await flow.channel(other);
    const queue = await flow.queue(channel, 'fleeting', { autoDelete: true });
    const first = await Consumer.start(channel, queue);
    const second = await Consumer.start(channel, queue);
    await channel.cancel(first.tag);
    check(await found(queue), 'the auto-delete queue is gone though one consumer is left');
    await channel.cancel(second.tag);
    check(!(await found(queue)), 'the auto-delete queue outlived its last consumer');

    const exchange = await flow.exchange(channel, 'passing', 'fanout', { autoDelete: true });
    const stands = () => exists(other, (probe) => probe.checkExchange(exchange));
    const bound = await flow.queue(channel, 'bound');
    await channel.bindQueue(bound, exchange, '');
    check(await stands(), 'the auto-delete exchange is gone though it is bound');
    await channel.unbindQueue(bound, exchange, '');
    check(!(await stands()), 'the auto-delete exchange outlived its last binding');
  },
};
