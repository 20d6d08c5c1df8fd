"""Plays the shop, kills both services in the middle, and checks the stock to the piece.

Needs a broker at AMQP_URL, Go, and pika. Deletes the story's queue and exchange there.
"""

import collections
import json
import pathlib
import random
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(HERE.parent)]

import orders  # noqa: E402
import story as stories  # noqa: E402
from story import check, equal, eventually  # noqa: E402

QUEUE = "shop.inventory"
INITIAL = json.loads((HERE / "inventory" / "initial.json").read_text())["stock"]
THIRD = 150  # orders are placed in three parts
TWICE = 25  # orders whose confirm the order service "forgets"


def prepare(directory):
    build = ["go", "build", "-o", directory / "inventory", "."]
    subprocess.run(build, cwd=HERE / "inventory", check=True)


class Shop:
    def __init__(self, story):
        self.ordered = collections.Counter()
        self.ids = set()
        self.stock_file = story.directory / "stock.json"
        database_file = str(story.directory / "orders.db")
        self.database = orders.open_database(database_file)
        self.order_service = story.service("orders", sys.executable, HERE / "orders.py", "serve",
                                           ORDERS_DB=database_file)
        self.inventory = story.service("inventory", story.directory / "inventory",
                                       STOCK_FILE=str(self.stock_file))

    def place(self, count):
        for _ in range(count):
            chosen = random.sample(sorted(INITIAL), random.randint(1, len(INITIAL)))
            products = {product: random.randint(1, 9) for product in chosen}
            self.ids.add(orders.place(self.database, products))
            self.ordered.update(products)

    def published(self):
        return self.database.execute("SELECT count(*) FROM orders WHERE published").fetchone()[0]

    def forget_confirms(self, count):
        """Leaves the database as a crash between confirms and noting them down would."""
        with self.database:
            self.database.execute("UPDATE orders SET published = 0 WHERE id IN (SELECT id FROM orders"
                                  " WHERE published ORDER BY rowid LIMIT ?)", (count,))

    def books(self):
        if not self.stock_file.exists():
            return {"stock": dict(INITIAL), "booked": {}}
        return json.loads(self.stock_file.read_text())  # replaced in one step, so always whole

    def again(self):
        return sum(" again " in line for line in self.inventory.lines())


def play(story):
    shop = Shop(story)
    shop.place(THIRD)
    shop.order_service.start()
    eventually(lambda: any("no inventory yet" in line for line in shop.order_service.lines()),
               "the order service hears that its orders cannot be routed")
    equal(shop.published(), 0, "orders published without a queue")

    shop.inventory.start()
    eventually(lambda: len(shop.books()["booked"]) >= THIRD // 3, "the inventory is at work")
    shop.inventory.freeze()
    shop.place(THIRD)
    eventually(lambda: shop.published() > THIRD, "orders are published while the inventory hangs")
    shop.order_service.kill()
    published, booked = shop.published(), len(shop.books()["booked"])
    shop.inventory.kill()
    eventually(lambda: story.queue(QUEUE)[1] == 0, "the killed inventory's consumer is gone")
    check(published > booked, "orders are left for the inventory")
    check(story.queue(QUEUE)[0] >= published - booked, "what was not booked is back in the queue")

    shop.forget_confirms(TWICE)
    shop.inventory.start()
    shop.order_service.start()
    shop.place(THIRD)
    eventually(lambda: shop.published() == 3 * THIRD, "all orders are published")
    eventually(lambda: shop.books()["booked"].keys() == shop.ids, "all orders are booked")
    eventually(lambda: shop.again() >= TWICE, "orders published twice are delivered twice")

    shop.order_service.kill()
    shop.inventory.stop()
    equal(story.queue(QUEUE), (0, 0), "messages left, and consumers")
    expected = {product: INITIAL[product] - shop.ordered[product] for product in INITIAL}
    equal(shop.books()["stock"], expected, "stock")


stories.run("shop", prepare, play, queues=[QUEUE], exchanges=["shop"])
