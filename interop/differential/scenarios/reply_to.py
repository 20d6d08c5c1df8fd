"""Direct reply-to: the pseudo-queue amq.rabbitmq.reply-to."""

from harness.registry import scenario

PSEUDO = "amq.rabbitmq.reply-to"


def requester(s):
    c = s.connect()
    ch = c.channel()
    ch.basic_consume(queue=PSEUDO, consumer_tag="replies", no_ack=True)
    return c, ch


def request(s, ch):
    """Sends a request and takes it at the other end: (the responder's channel, its reply_to)."""
    q = s.name("requests")
    responder = s.channel()
    responder.queue_declare(queue=q)
    ch.publish("", q, "request", reply_to=PSEUDO, correlation_id="c1")
    ch.sync()
    return responder, responder.basic_get(queue=q, no_ack=True).content.properties["reply_to"]


@scenario
def round_trip(s):
    _, ch = requester(s)
    responder, address = request(s, ch)
    responder.publish("", address, "reply", correlation_id="c1", headers={"a": 1})
    ch.deliveries(1)


@scenario
def several_replies_to_one_request(s):
    _, ch = requester(s)
    responder, address = request(s, ch)
    for body in "abc":
        responder.publish("", address, body)
    ch.deliveries(3)


@scenario
def reply_with_mandatory_and_confirms(s):
    _, ch = requester(s)
    responder, address = request(s, ch)
    responder.confirm_select()
    responder.publish("", address, "reply", mandatory=True)
    responder.confirms()
    ch.deliveries(1)


@scenario
def consume_with_ack(s):
    s.channel().basic_consume(queue=PSEUDO, consumer_tag="t")


@scenario
def consume_twice(s):
    _, ch = requester(s)
    ch.basic_consume(queue=PSEUDO, consumer_tag="t", no_ack=True)


@scenario
def consume_on_two_channels(s):
    c, _ = requester(s)
    c.channel().basic_consume(queue=PSEUDO, consumer_tag="replies", no_ack=True)


@scenario
def consume_again_after_cancel(s):
    _, ch = requester(s)
    ch.basic_cancel(consumer_tag="replies")
    ch.basic_consume(queue=PSEUDO, consumer_tag="again", no_ack=True)
    responder, address = request(s, ch)
    responder.publish("", address, "reply")
    ch.deliveries(1)


@scenario
def consume_with_a_generated_tag(s):
    s.channel().basic_consume(queue=PSEUDO, no_ack=True)


@scenario
def consume_exclusively(s):
    s.channel().basic_consume(queue=PSEUDO, consumer_tag="t", no_ack=True, exclusive=True)


@scenario
def consume_nowait(s):
    ch = s.channel()
    ch.basic_consume(queue=PSEUDO, consumer_tag="t", no_ack=True, nowait=True)
    responder, address = request(s, ch)
    responder.publish("", address, "reply")
    ch.deliveries(1)


@scenario
def publish_without_a_consumer(s):
    ch = s.channel()
    ch.publish("", s.name("q"), "x", reply_to=PSEUDO)
    ch.wait("channel_close")


@scenario
def publish_without_a_consumer_to_a_missing_exchange(s):
    ch = s.channel()
    ch.publish(s.name("x"), "k", "x", reply_to=PSEUDO)
    ch.wait("channel_close")


@scenario
def request_returned_as_unroutable(s):
    _, ch = requester(s)
    ch.publish("", s.name("nobody"), "request", reply_to=PSEUDO, mandatory=True)
    ch.sync()


@scenario
def ordinary_reply_to_is_left_alone(s):
    _, ch = requester(s)
    q = s.name("q")
    ch.queue_declare(queue=q)
    ch.publish("", q, "x", reply_to=s.name("elsewhere"))
    ch.basic_get(queue=q, no_ack=True)


@scenario
def declare_the_pseudo_queue(s):
    ch = s.channel()
    ch.queue_declare(queue=PSEUDO)
    ch.queue_declare(queue=PSEUDO, passive=True)
    ch.queue_declare(queue=PSEUDO, durable=True, exclusive=True)


@scenario
def declare_the_address_passively(s):
    _, ch = requester(s)
    responder, address = request(s, ch)
    responder.queue_declare(queue=address, passive=True)
    responder.queue_declare(queue=address)


@scenario
def address_after_the_requester_has_gone(s):
    c, ch = requester(s)
    responder, address = request(s, ch)
    c.close()
    responder.publish("", address, "reply", mandatory=True)
    responder.quiet()
    responder.queue_declare(queue=address, passive=True)


@scenario
def address_after_cancel(s):
    _, ch = requester(s)
    responder, address = request(s, ch)
    ch.basic_cancel(consumer_tag="replies")
    responder.publish("", address, "reply")
    responder.sync()
    ch.quiet()


@scenario
def tampered_address(s):
    _, ch = requester(s)
    responder, address = request(s, ch)
    tampered = address[:-4] + ("AAAA" if address[-4:] != "AAAA" else "BBBB")
    responder.publish("", tampered, "reply")
    responder.sync()
    ch.quiet()


@scenario
def bogus_address(s):
    ch = s.channel()
    ch.publish("", PSEUDO + ".bogus", "reply")
    ch.quiet()
    ch.queue_declare(queue=PSEUDO + ".bogus", passive=True)


@scenario
def bogus_address_and_mandatory(s):
    ch = s.channel()
    ch.publish("", PSEUDO + ".bogus", "reply", mandatory=True)
    ch.quiet()


@scenario
def publish_to_the_pseudo_queue_itself(s):
    _, ch = requester(s)
    ch.publish("", PSEUDO, "x", mandatory=True)
    ch.quiet()


def refused(s, method, **fields):
    _, ch = requester(s)
    getattr(ch, method)(**fields)


@scenario
def get(s):
    refused(s, "basic_get", queue=PSEUDO)


@scenario
def purge(s):
    refused(s, "queue_purge", queue=PSEUDO)


@scenario
def delete(s):
    refused(s, "queue_delete", queue=PSEUDO)


@scenario
def bind(s):
    refused(s, "queue_bind", queue=PSEUDO, exchange="amq.direct", routing_key=s.name("k"))


@scenario
def cancel(s):
    refused(s, "basic_cancel", consumer_tag="replies")


@scenario
def replies_count_delivery_tags(s):
    _, ch = requester(s)
    q = s.name("q")
    ch.queue_declare(queue=q)
    s.put(q, "x")
    ch.basic_get(queue=q)
    responder, address = request(s, ch)
    responder.publish("", address, "reply")
    ch.deliveries(1)
    ch.basic_ack(delivery_tag=2)
    ch.wait("channel_close")
