"""Flows about promises: requests answered, confirms, transactions, errors, ownership."""

import pika

from harness import (
    URI, WAIT_S, Consumer, check, closes_channel, drain, equal, eventually, exists, ready,
)

REPLY_TO = "amq.rabbitmq.reply-to"


def rpc(flow):
    """Direct reply-to: answers come without a reply queue, matched by correlation id."""
    server = flow.connect().channel()
    queue = flow.queue(server, "squares")

    def answer(channel, method, properties, body):
        result = str(int(body) ** 2).encode()
        reply = pika.BasicProperties(correlation_id=properties.correlation_id)
        channel.basic_publish("", properties.reply_to, result, reply)
        channel.basic_ack(method.delivery_tag)
        addresses.append(properties.reply_to)

    addresses = []
    server.basic_consume(queue, answer)
    client = flow.connect().channel()
    answers = Consumer(client, REPLY_TO, auto_ack=True)
    for number in (3, 4, 5):
        request = pika.BasicProperties(reply_to=REPLY_TO, correlation_id=f"id-{number}")
        client.basic_publish("", queue, str(number).encode(), request)
    eventually(lambda: server.connection.process_data_events() or len(addresses) == 3,
               "the server did not get three requests")
    answers.wait(3)
    got = [(properties.correlation_id, body) for _, properties, body in answers.deliveries]
    equal(got, [("id-3", b"9"), ("id-4", b"16"), ("id-5", b"25")], "answers")
    check(all(a.startswith(REPLY_TO + ".") for a in addresses), f"reply addresses: {addresses}")


def confirms_returns(flow):
    """Every publish is confirmed once; an unroutable mandatory one is returned before that."""
    channel = flow.channel()
    queue = flow.queue(channel, "queue")
    log = _Pipeline(queue, count=100).run()
    confirmed = [tag for event in log if event[0] == "ack" for tag in event[1]]
    equal(sorted(confirmed), list(range(1, 102)), "confirmed tags, each once")
    returns = [event for event in log if event[0] == "return"]
    equal(returns, [("return", 312, "nowhere")], "returns")
    last_ack = next(event for event in log if event[0] == "ack" and 101 in event[1])
    check(log.index(returns[0]) < log.index(last_ack), "the return must come before its confirm")
    equal(ready(channel, queue), 100, "messages in the queue")
    try:
        channel.basic_publish("", flow.unique("missing"), b"", mandatory=True)
    except pika.exceptions.UnroutableError as error:
        equal(error.messages[0].method.reply_text, "NO_ROUTE", "reply text of the return")
    else:
        raise AssertionError("publishing to a missing queue must return the message")


class _Pipeline:
    """Publishes without waiting (pika's asynchronous connection), so that confirms may be bulked.

    `run` gives what the broker sent, in order: ("ack", [tags]) and ("return", code, routing key).
    """

    def __init__(self, queue, count):
        self.queue, self.log, self.problem = queue, [], None
        self.unconfirmed = list(range(1, count + 2))  # one more: the unroutable message

    def run(self):
        connection = pika.SelectConnection(
            pika.URLParameters(URI), on_open_callback=lambda c: c.channel(on_open_callback=self._go),
            on_open_error_callback=self._stop, on_close_callback=lambda c, _: c.ioloop.stop())
        connection.ioloop.call_later(WAIT_S, lambda: self._stop(connection, "confirms are missing"))
        connection.ioloop.start()
        check(self.problem is None, f"{self.problem}, unconfirmed: {self.unconfirmed}")
        return self.log

    def _go(self, channel):
        channel.add_on_return_callback(lambda _c, method, _p, _b: self.log.append(
            ("return", method.reply_code, method.routing_key)))
        channel.confirm_delivery(lambda frame: self._on_confirm(channel.connection, frame.method))
        for number in self.unconfirmed[:-1]:
            channel.basic_publish("", self.queue, str(number).encode())
        channel.basic_publish("amq.direct", "nowhere", b"", mandatory=True)

    def _on_confirm(self, connection, method):
        tag = method.delivery_tag
        tags = [t for t in self.unconfirmed if t <= tag] if method.multiple else [tag]
        self.log.append(("ack" if isinstance(method, pika.spec.Basic.Ack) else "nack", tags))
        self.unconfirmed = [t for t in self.unconfirmed if t not in tags]
        if not self.unconfirmed:
            self._stop(connection)

    def _stop(self, connection, problem=None):
        self.problem = problem
        if connection.is_open:
            connection.close()
        else:
            connection.ioloop.stop()


def transactions(flow):
    """Publishes and acks take effect at commit, and not at all after a rollback."""
    connection = flow.connect()
    watch = connection.channel()
    queue = flow.queue(watch, "queue")
    channel = connection.channel()
    channel.tx_select()
    for body in (b"1", b"2"):
        channel.basic_publish("", queue, body)
    equal(ready(watch, queue), 0, "messages before commit")
    channel.tx_commit()
    equal(ready(watch, queue), 2, "messages after commit")
    channel.basic_publish("", queue, b"3")
    channel.tx_rollback()
    channel.tx_commit()
    equal(ready(watch, queue), 2, "messages after rollback")

    method, _, body = channel.basic_get(queue)
    equal(body, b"1", "first message")
    channel.basic_ack(method.delivery_tag)
    channel.tx_rollback()
    channel.basic_ack(method.delivery_tag)  # allowed: the first ack never happened
    channel.tx_commit()
    method, _, body = channel.basic_get(queue)
    equal(body, b"2", "second message")
    channel.basic_ack(method.delivery_tag)
    channel.close()  # without commit: the message returns
    method, _, body = watch.basic_get(queue, auto_ack=True)
    equal((body, method.redelivered), (b"2", True), "message whose ack was not committed")
    equal(drain(watch, queue), [], "messages left")


def reconnect_after_forced_close(flow):
    """A channel error costs the channel, a connection error the connection; both can go on."""
    connection = flow.connect()
    channel = flow.channel(connection)
    queue = flow.queue(channel, "queue", durable=True)
    closes_channel(404, lambda: channel.basic_publish(flow.unique("missing"), "", b""))
    check(connection.is_open, "a channel error must leave the connection open")
    channel = flow.channel(connection)
    channel.basic_publish("", queue, b"kept")

    # pika refuses a reused consumer tag by itself, so another error closes the connection
    try:
        channel.basic_qos(prefetch_size=10)
    except pika.exceptions.ConnectionClosedByBroker as error:
        equal(error.reply_code, 540, f"reply code of the connection's closing ({error.reply_text})")
    else:
        raise AssertionError("the connection should have been closed with 540")
    check(connection.is_closed, "the connection must be closed")

    channel = flow.channel()
    channel.basic_publish("", queue, b"new")
    consumer = Consumer(channel, queue, auto_ack=True)
    consumer.wait(2)
    equal(consumer.bodies(), [b"kept", b"new"], "messages after reconnecting")


def exclusive_and_auto_delete(flow):
    """An exclusive queue is its connection's own; auto-delete goes with the last user."""
    owner, other = flow.connect(), flow.connect()
    private = flow.queue(owner.channel(), "private", exclusive=True)
    closes_channel(405, lambda: other.channel().queue_declare(private, passive=True))
    closes_channel(405, lambda: other.channel().basic_consume(private, print))
    owner.close()
    eventually(lambda: not exists(other, lambda c: c.queue_declare(private, passive=True)),
               "the exclusive queue outlived its connection")

    channel = flow.channel(other)
    queue = flow.queue(channel, "fleeting", auto_delete=True)
    consumers = [Consumer(channel, queue), Consumer(channel, queue)]
    channel.basic_cancel(consumers[0].tag)
    check(exists(other, lambda c: c.queue_declare(queue, passive=True)), "one consumer is left")
    channel.basic_cancel(consumers[1].tag)
    check(not exists(other, lambda c: c.queue_declare(queue, passive=True)),
          "the auto-delete queue outlived its last consumer")

    exchange = flow.exchange(channel, "passing", "fanout", auto_delete=True)
    bound = flow.queue(channel, "bound")
    channel.queue_bind(bound, exchange)
    check(exists(other, lambda c: c.exchange_declare(exchange, passive=True)), "exchange is bound")
    channel.queue_unbind(bound, exchange)
    check(not exists(other, lambda c: c.exchange_declare(exchange, passive=True)),
          "the auto-delete exchange outlived its last binding")


FLOWS = [rpc, confirms_returns, transactions, reconnect_after_forced_close,
         exclusive_and_auto_delete]
