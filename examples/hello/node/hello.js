// Publishes a message, waits for the broker's confirm, and consumes it.
import amqp from 'amqplib';

const uri = process.env.AMQP_URL ?? 'amqp://guest:guest@127.0.0.1:5672/%2F';
const connection = await amqp.connect(uri);
const channel = await connection.createConfirmChannel();
await channel.assertQueue('hello.node', { durable: true });

channel.sendToQueue('hello.node', Buffer.from('Hello, Leveret'), { persistent: true });
await channel.waitForConfirms(); // now it is on disk

await new Promise((resolve) => {
  channel.consume('hello.node', (message) => {
    console.log('received', message.content.toString());
    channel.ack(message);
    resolve();
  });
});
await channel.close();
await connection.close();
