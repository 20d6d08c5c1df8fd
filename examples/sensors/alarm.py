"""The alarm service: gets every building's temperatures, and nothing else, and tells which are too high.

    python alarm.py [LIMIT]
"""

import json
import os
import signal
import sys

import pika

URI = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2F")
EXCHANGE, QUEUE, PATTERN = "readings", "sensors.alarm", "*.*.temperature"
LIMIT = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0


def on_reading(channel, method, _properties, body):
    reading = json.loads(body)
    if reading["value"] > LIMIT:
        print(f"ALARM {method.routing_key} #{reading['number']} {reading['value']}", flush=True)
    channel.basic_ack(method.delivery_tag)  # only now: an alarm may come twice, but is never lost


def main():
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops as with Ctrl-C
    connection = pika.BlockingConnection(pika.URLParameters(URI))
    channel = connection.channel()
    channel.exchange_declare(EXCHANGE, "topic", durable=True)
    channel.queue_declare(QUEUE, durable=True)
    channel.queue_bind(QUEUE, EXCHANGE, PATTERN)
    channel.basic_qos(prefetch_count=50)
    channel.basic_consume(QUEUE, on_reading)
    try:
        channel.start_consuming()
    except KeyboardInterrupt:
        channel.stop_consuming()
    connection.close()


if __name__ == "__main__":
    main()
