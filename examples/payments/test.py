"""Plays the payments, kills both programs again and again, and counts what was booked.

Needs a broker at AMQP_URL, and pika. Deletes the story's queues there.
"""

import collections
import json
import pathlib
import random
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(HERE.parent)]

import pay  # noqa: E402
import story as stories  # noqa: E402
from story import check, equal, eventually  # noqa: E402
from worker import BOOKED  # noqa: E402

ROUND = 60  # payments between two kills
KILLS = 5
TWICE = 40  # payments whose confirm the shop "forgets"


class Payments:
    def __init__(self, story):
        self.story, self.cents = story, {}
        database_file = str(story.directory / "payments.db")
        self.database = pay.open_database(database_file)
        self.shop = story.service("shop", sys.executable, HERE / "pay.py", "--serve",
                                  PAYMENTS_DB=database_file)
        self.worker = story.service("worker", sys.executable, HERE / "worker.py")
        self.booked = collections.Counter()

    def note(self, count):
        for _ in range(count):
            cents = random.randint(100, 100_000)
            self.cents[pay.note(self.database, cents, "4711")] = cents

    def published(self):
        return self.database.execute("SELECT count(*) FROM payments WHERE published").fetchone()[0]

    def forget_confirms(self, count):
        """Leaves the database as a crash between confirms and noting them down would."""
        with self.database:
            self.database.execute("UPDATE payments SET published = 0 WHERE id IN (SELECT id FROM"
                                  " payments WHERE published ORDER BY rowid DESC LIMIT ?)", (count,))

    def lines(self, service, word):
        return sum(line.startswith(word) for line in service.lines())

    def collect(self):
        """Takes what was booked, and checks it."""
        def take(channel):
            while True:
                method, _, body = channel.basic_get(BOOKED, auto_ack=True)
                if method is None:
                    return
                payment = json.loads(body)
                self.booked[payment["id"]] += 1
                equal(payment["cents"], self.cents[payment["id"]], "amount")
                equal(payment["fee"], payment["cents"] // 100, "fee")
        self.story.with_channel(take)


def play(story):
    payments = Payments(story)
    payments.shop.start()
    payments.worker.start()
    for kill in range(KILLS):
        payments.note(ROUND)
        done = payments.lines(payments.worker, "booked") + ROUND // 3
        eventually(lambda done=done: payments.lines(payments.worker, "booked") >= done,
                   "the worker is at work")
        payments.worker.kill()
        if kill % 2:
            payments.shop.kill()
            payments.forget_confirms(TWICE)
            payments.shop.start()
        payments.worker.start()
    total = KILLS * ROUND
    eventually(lambda: payments.published() == total, "all payments are published")
    eventually(lambda: story.queue(pay.QUEUE)[0] == 0 and story.queue(BOOKED)[0] == total,
               "all payments are booked")
    payments.shop.stop()
    payments.worker.stop()
    payments.collect()
    check(payments.lines(payments.shop, "published") >= total + TWICE, "some were published twice")
    equal(payments.booked.keys(), payments.cents.keys(), "payments booked")
    equal(set(payments.booked.values()), {1}, "times that each was booked")
    equal(story.queue(pay.QUEUE), (0, 0), "payments left, and consumers")


stories.run("payments", lambda directory: None, play, queues=[pay.QUEUE, BOOKED], exchanges=[])
