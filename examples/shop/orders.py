"""The order service: takes orders into a database and publishes each until the broker has it.

    python orders.py place cup=2 plate=1    takes an order
    python orders.py serve                  publishes what is not published yet, and goes on

An order is marked as published only after the broker's confirm, so a crash in between publishes it
a second time: orders carry an id by which the inventory knows them again.
"""

import json
import os
import sqlite3
import sys
import uuid

import pika

URI = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2F")
DATABASE = os.environ.get("ORDERS_DB", "orders.db")
EXCHANGE, ROUTING_KEY = "shop", "order"


def open_database(path=DATABASE):
    database = sqlite3.connect(path)
    with database:
        database.execute("CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY,"
                         " products TEXT NOT NULL, published INTEGER NOT NULL DEFAULT 0)")
    return database


def place(database, products):
    order = str(uuid.uuid4())
    with database:
        database.execute("INSERT INTO orders (id, products) VALUES (?, ?)",
                         (order, json.dumps(products)))
    return order


def publish(database, channel, order, products):
    body = json.dumps({"id": order, "products": json.loads(products)})
    properties = pika.BasicProperties(content_type="application/json", message_id=order,
                                      delivery_mode=pika.DeliveryMode.Persistent)
    # In confirm mode this returns when the broker has the order, and raises when it has not.
    channel.basic_publish(EXCHANGE, ROUTING_KEY, body, properties, mandatory=True)
    with database:
        database.execute("UPDATE orders SET published = 1 WHERE id = ?", (order,))
    print("published", order, flush=True)


def serve(database):
    connection = pika.BlockingConnection(pika.URLParameters(URI))
    channel = connection.channel()
    channel.exchange_declare(EXCHANGE, "direct", durable=True)
    channel.confirm_delivery()
    while True:
        waiting = database.execute("SELECT id, products FROM orders WHERE published = 0"
                                   " ORDER BY rowid LIMIT 100").fetchall()
        try:
            for order, products in waiting:
                publish(database, channel, order, products)
        except pika.exceptions.UnroutableError:
            print("no inventory yet: orders wait in the database", flush=True)
            connection.sleep(1)
        except pika.exceptions.NackError:
            print("the broker refused an order: trying again", flush=True)
            connection.sleep(1)
        if not waiting:
            connection.sleep(0.2)  # answers heartbeats, too


def main(arguments):
    if arguments[:1] == ["place"] and len(arguments) > 1:
        items = [item.split("=") for item in arguments[1:]]
        print("placed", place(open_database(), {name: int(count) for name, count in items}))
    elif arguments == ["serve"]:
        serve(open_database())
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        pass
