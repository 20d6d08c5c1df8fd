"""Publishes a message, waits for the broker's confirm, and consumes it."""

import os

import pika

URI = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2F")

connection = pika.BlockingConnection(pika.URLParameters(URI))
channel = connection.channel()
channel.queue_declare("hello.python", durable=True)
channel.confirm_delivery()  # from now on basic_publish returns once the message is on disk

channel.basic_publish("", "hello.python", b"Hello, Leveret",
                      pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent),
                      mandatory=True)
for method, _, body in channel.consume("hello.python"):
    print("received", body.decode())
    channel.basic_ack(method.delivery_tag)
    break
connection.close()
