// The dashboard: gets every reading and shows it with the lowest and highest of its sensor so far.
'use strict';

const amqplib = require('amqplib');

const uri = process.env.AMQP_URL || 'amqp://guest:guest@127.0.0.1:5672/%2F';
const exchange = 'readings';
const queue = 'sensors.dashboard';
const ranges = new Map();

function show(key, { number, value }) {
  const { low, high } = ranges.get(key) ?? { low: value, high: value };
  const range = { low: Math.min(low, value), high: Math.max(high, value) };
  ranges.set(key, range);
  console.log(`${key} #${number} ${value.toFixed(1)} (${range.low} to ${range.high})`);
}

async function main() {
  const connection = await amqplib.connect(uri);
  const channel = await connection.createChannel();
  await channel.assertExchange(exchange, 'topic', { durable: true });
  await channel.assertQueue(queue, { durable: true });
  await channel.bindQueue(queue, exchange, '#');
  await channel.prefetch(50);
  const { consumerTag } = await channel.consume(queue, (message) => {
    if (message === null) throw new Error('the broker ended the consumer');
    show(message.fields.routingKey, JSON.parse(message.content));
    channel.ack(message);
  });
  const stop = async () => {
    await channel.cancel(consumerTag);
    await connection.close();
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
}

main();
