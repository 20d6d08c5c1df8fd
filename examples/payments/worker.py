"""The worker: takes payments from one queue, books each, and hands it on to another, exactly once.

    python worker.py

The acknowledgement of the one and the publish of the other are one transaction: after a crash of the
worker or of the broker either both have happened or neither has, and a payment that was not handed on
comes again.
"""

import json
import os
import signal

import pika

from pay import DEDUPLICATED, QUEUE, URI

BOOKED = "payments.booked"
FEE_PERCENT = int(os.environ.get("FEE_PERCENT", "1"))


def on_payment(channel, method, _properties, body):
    payment = json.loads(body)
    payment["fee"] = payment["cents"] * FEE_PERCENT // 100
    channel.basic_publish("", BOOKED, json.dumps(payment),
                          pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent))
    channel.basic_ack(method.delivery_tag)
    channel.tx_commit()  # both are on disk now
    print("booked", payment["id"], flush=True)


def main():
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    connection = pika.BlockingConnection(pika.URLParameters(URI))
    channel = connection.channel()
    channel.queue_declare(QUEUE, durable=True, arguments=DEDUPLICATED)
    channel.queue_declare(BOOKED, durable=True)
    channel.tx_select()
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume(QUEUE, on_payment)
    try:
        channel.start_consuming()
    except KeyboardInterrupt:
        pass  # what is not committed is rolled back as the connection closes
    connection.close()


if __name__ == "__main__":
    main()
