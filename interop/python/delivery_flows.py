"""Flows about how a queue hands messages out: fairness, requeueing, sizes, priorities, cancels."""

import hashlib
import os

from harness import PERSISTENT, Consumer, drain, equal, pump, ready


def work_queue(flow):
    """Two workers with prefetch 1: a busy one gets no second task; its task returns if it dies."""
    channel = flow.channel()
    tasks = flow.queue(channel, "tasks", durable=True)
    connection = flow.connect()
    workers = []
    for _ in range(2):
        worker_channel = connection.channel()
        worker_channel.basic_qos(prefetch_count=1)
        workers.append(Consumer(worker_channel, tasks))
    busy, quick = workers
    for number in range(6):
        channel.basic_publish("", tasks, str(number).encode(), PERSISTENT)
    busy.wait(1)
    for done in range(1, 6):
        quick.wait(done)
        quick.ack(done - 1)
    equal(len(busy.deliveries), 1, "tasks given to the busy worker")
    equal(sorted(busy.bodies() + quick.bodies()), [b"%d" % n for n in range(6)], "all tasks")
    equal(busy.redelivered() + quick.redelivered(), [False] * 6, "redelivered flags")
    equal(quick.bodies(), sorted(quick.bodies()), "order of the quick worker's tasks")

    busy.channel.close()
    method, _, body = quick.wait(6)[5]
    equal((body, method.redelivered), (busy.bodies()[0], True), "the dead worker's task")
    quick.ack(5)
    quick.channel.close()
    equal(drain(channel, tasks), [], "tasks left")


def get_nack_requeue(flow):
    """basic.get; nack of several at once; what is requeued comes back where it was."""
    channel = flow.channel()
    queue = flow.queue(channel, "queue")
    for number in range(1, 6):
        channel.basic_publish("", queue, b"m%d" % number)

    def get():
        method, _, body = channel.basic_get(queue)
        return method, body

    first, second, third = get(), get(), get()
    equal([m.message_count for m, _ in (first, second, third)], [4, 3, 2], "message counts")
    channel.basic_nack(second[0].delivery_tag, multiple=True, requeue=True)
    again = [get() for _ in range(3)]
    equal([body for _, body in again], [b"m1", b"m2", b"m4"], "order after the first nack")
    equal([m.redelivered for m, _ in again], [True, True, False], "redelivered flags")
    channel.basic_nack(third[0].delivery_tag, requeue=True)
    method, body = get()
    equal((body, method.redelivered), (b"m3", True), "the requeued message, ahead of m5")
    channel.basic_reject(method.delivery_tag, requeue=False)
    channel.basic_ack(0, multiple=True)
    equal([body for _, body in drain(channel, queue)], [b"m5"], "what is left")
    equal(get()[0], None, "answer of an empty queue")


def large_messages(flow):
    """Bodies around the frame size and far above it arrive byte for byte."""
    connection = flow.connect()
    channel = flow.channel(connection)
    queue = flow.queue(channel, "queue")
    consumer = Consumer(channel, queue)
    frame_max = connection._impl.params.frame_max  # pylint: disable=protected-access
    around = [size + off for size in (frame_max - 8, frame_max) for off in (-1, 0, 1)]
    sizes = [0, 1, *around, 2 * (frame_max - 8), 1 << 20, 16 << 20]
    for position, size in enumerate(sizes):
        body = os.urandom(size)
        channel.basic_publish("", queue, body)
        received = consumer.wait(position + 1)[position][2]
        equal(len(received), size, "length of the body")
        equal(hashlib.sha256(received).hexdigest(), hashlib.sha256(body).hexdigest(),
              f"SHA-256 of a body of {size} bytes")
        consumer.ack(position)


def consumer_cancel_notify(flow):
    """A consumer is told when its queue is deleted, and its channel stays usable."""
    channel = flow.channel()
    doomed = flow.queue(channel, "doomed")
    cancelled = []
    channel.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
    consumer = Consumer(channel, doomed)
    channel.basic_publish("", doomed, b"before")
    consumer.wait(1)
    flow.channel().queue_delete(doomed)
    pump(channel.connection, lambda: cancelled, lambda: "no basic.cancel came")
    equal(cancelled, [consumer.tag], "cancelled consumers")
    other = flow.queue(channel, "other")
    channel.basic_publish("", other, b"after")
    equal(drain(channel, other), [(other, b"after")], "messages through the same channel")


def priorities_and_sac(flow):
    """x-priority: the higher consumer first while it has room. Single active: one, then the next."""
    channel = flow.channel()
    queue = flow.queue(channel, "priorities")
    low = _worker(flow, queue, arguments={"x-priority": -1})
    high = _worker(flow, queue, arguments={"x-priority": 10})
    for number in range(3):
        channel.basic_publish("", queue, b"%d" % number)
    high.wait(2)
    low.wait(1)
    equal((high.bodies(), low.bodies()), ([b"0", b"1"], [b"2"]), "high first, the rest to low")
    high.ack(0)
    ready(high.channel, queue)  # a round trip: the ack has arrived before the next publish
    channel.basic_publish("", queue, b"3")
    equal(high.wait(3)[2][2], b"3", "message after high has room again")
    equal(len(low.deliveries), 1, "deliveries to low")

    queue = flow.queue(channel, "single", arguments={"x-single-active-consumer": True})
    active, waiting = _worker(flow, queue), _worker(flow, queue)
    for number in range(2):
        channel.basic_publish("", queue, b"%d" % number)
    active.wait(2)
    active.ack(0)
    equal(ready(channel, queue), 0, "messages ready")
    equal(waiting.bodies(), [], "deliveries to the waiting consumer")
    active.channel.close()
    method, _, body = waiting.wait(1)[0]
    equal((body, method.redelivered), (b"1", True), "first message after the fail-over")
    channel.basic_publish("", queue, b"2")
    equal(waiting.wait(2)[1][2], b"2", "second message after the fail-over")


def _worker(flow, queue, **options):
    channel = flow.connect().channel()
    channel.basic_qos(prefetch_count=2)
    return Consumer(channel, queue, **options)


FLOWS = [work_queue, get_nack_requeue, large_messages, consumer_cancel_notify, priorities_and_sac]
