"""The shop that pays: writes payments down and publishes each until the broker has it.

    python pay.py 12.50 4711                 notes a payment of 12.50 for account 4711
    python pay.py --serve                    publishes what is not published yet, and goes on

Whoever is killed between a publish and noting its confirm publishes it again. The queue knows it by its
identity then (x-deduplication-header), confirms it, and keeps it once.
"""

import json
import os
import signal
import sqlite3
import sys
import uuid

import pika

URI = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2F")
DATABASE = os.environ.get("PAYMENTS_DB", "payments.db")
QUEUE = "payments.ordered"
# What may be published twice is younger than a day, and not more than 100,000 payments old.
DEDUPLICATED = {"x-message-deduplication": True, "x-cache-size": 100_000, "x-cache-ttl": 86_400_000}


def open_database(path=DATABASE):
    database = sqlite3.connect(path)
    with database:
        database.execute("CREATE TABLE IF NOT EXISTS payments (id TEXT PRIMARY KEY, cents INTEGER"
                         " NOT NULL, account TEXT NOT NULL, published INTEGER NOT NULL DEFAULT 0)")
    return database


def note(database, cents, account):
    payment = str(uuid.uuid4())
    with database:
        database.execute("INSERT INTO payments (id, cents, account) VALUES (?, ?, ?)",
                         (payment, cents, account))
    return payment


def serve(database):
    connection = pika.BlockingConnection(pika.URLParameters(URI))
    channel = connection.channel()
    channel.queue_declare(QUEUE, durable=True, arguments=DEDUPLICATED)
    channel.confirm_delivery()
    while True:
        waiting = database.execute("SELECT id, cents, account FROM payments WHERE published = 0"
                                   " ORDER BY rowid LIMIT 100").fetchall()
        for payment, cents, account in waiting:
            body = json.dumps({"id": payment, "cents": cents, "account": account})
            channel.basic_publish("", QUEUE, body, pika.BasicProperties(
                delivery_mode=pika.DeliveryMode.Persistent,
                headers={"x-deduplication-header": payment}), mandatory=True)
            with database:
                database.execute("UPDATE payments SET published = 1 WHERE id = ?", (payment,))
            print("published", payment, flush=True)
        if not waiting:
            connection.sleep(0.2)  # answers heartbeats, too


def main(arguments):
    if arguments == ["--serve"]:
        serve(open_database())
    elif len(arguments) == 2:
        print("noted", note(open_database(), round(float(arguments[0]) * 100), arguments[1]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        pass
