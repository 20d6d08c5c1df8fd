"""Large bodies and many messages: frame splitting and order."""

from harness.registry import scenario


def echo(s, body, frame_max=None, **options):
    c = s.connect(frame_max=frame_max)
    ch = c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q, **options)
    ch.publish("", q, body)
    ch.basic_get(queue=q, no_ack=True)
    return c, ch, q


def octets(size):
    return bytes(number * 31 % 251 for number in range(size))


@scenario
def one_octet_under_a_frame(s):
    echo(s, octets(131072 - 9))


@scenario
def exactly_a_frame(s):
    echo(s, octets(131072 - 8))


@scenario
def one_octet_over_a_frame(s):
    echo(s, octets(131072 - 7))


@scenario
def small_frames(s):
    echo(s, octets(50000), frame_max=4096)


@scenario
def exactly_three_small_frames(s):
    echo(s, octets(4088 * 3), frame_max=4096)


@scenario
def odd_frame_size(s):
    echo(s, octets(100000), frame_max=5001)


@scenario
def published_in_large_frames_consumed_in_small_ones(s):
    q = s.name("q")
    consumer = s.channel(frame_max=4096)
    consumer.queue_declare(queue=q)
    consumer.basic_consume(queue=q, consumer_tag="t", no_ack=True)
    s.channel().publish("", q, octets(20000))
    consumer.deliveries(1)


@scenario
def five_megabytes(s):
    echo(s, octets(1000) * 5000)


@scenario
def returned_in_frames(s):
    c = s.connect(frame_max=4096)
    ch = c.channel()
    ch.publish("", s.name("nobody"), octets(10000), mandatory=True)
    ch.sync()


@scenario
def header_table_larger_than_a_frame(s):
    """A content header cannot be split: it has to fit into one frame."""
    c = s.connect(frame_max=4096)
    ch = c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    ch.publish("", q, "x", headers={"long": "x" * 5000})
    c.until_closed()


@scenario
def header_larger_than_the_consumers_frame(s):
    """Published over large frames, delivered where the header does not fit."""
    q = s.name("q")
    small = s.connect(frame_max=4096).channel()
    small.queue_declare(queue=q)
    s.put(q, "x", headers={"long": "x" * 5000})
    small.basic_get(queue=q, no_ack=True)


@scenario
def hundreds_of_messages_in_order(s):
    c = s.connect()
    ch = c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    publisher = s.channel()
    publisher.confirm_select()
    for number in range(300):
        publisher.publish("", q, str(number))
    publisher.confirms()
    ch.basic_qos(prefetch_count=30)
    ch.basic_consume(queue=q, consumer_tag="t")
    for number in range(10):
        ch.deliveries(30)
        ch.basic_ack(delivery_tag=number * 30 + 30, multiple=True)
    ch.quiet()
    s.until(q, messages=0)


@scenario
def requeue_of_200_in_flight(s):
    c = s.connect()
    ch = c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    s.put(q, *(str(number) for number in range(200)))
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(200)
    ch.close()
    other = c.channel()
    for _ in range(200):
        other.basic_get(queue=q, no_ack=True)
    other.basic_get(queue=q, no_ack=True)
