"""The sensors of one place: publishes readings with keys such as berlin.mill.temperature.

    python sensors.py berlin.mill [--count 100] [--interval 1.0]
"""

import argparse
import json
import os
import random

import pika

URI = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2F")
EXCHANGE = "readings"
KINDS = {"temperature": (15, 35), "humidity": (30, 70), "co2": (400, 1200)}


def read(kind):
    return round(random.uniform(*KINDS[kind]), 1)


def main():
    parser = argparse.ArgumentParser(description="Publishes readings.")
    parser.add_argument("place", help="site.building, such as berlin.mill")
    parser.add_argument("--count", type=int, help="how many readings of each kind (default: no end)")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between readings")
    options = parser.parse_args()
    connection = pika.BlockingConnection(pika.URLParameters(URI))
    channel = connection.channel()
    channel.exchange_declare(EXCHANGE, "topic", durable=True)
    channel.confirm_delivery()
    number = 0
    while number != options.count:
        number += 1
        for kind in KINDS:
            key, value = f"{options.place}.{kind}", read(kind)
            channel.basic_publish(EXCHANGE, key, json.dumps({"number": number, "value": value}))
            print(f"{key} #{number} {value}", flush=True)
        connection.sleep(options.interval)
    connection.close()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
