"""Single active consumer, consumer priorities, and queues with message priorities."""

from harness.registry import scenario

SAC = {"x-single-active-consumer": True}


def queue(s, arguments):
    c = s.connect()
    ch = c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q, arguments=arguments)
    return c, ch, q


def consume(c, q, tag, priority=None, **options):
    ch = c.channel()
    arguments = {} if priority is None else {"x-priority": priority}
    ch.basic_consume(queue=q, consumer_tag=tag, arguments=arguments, **options)
    return ch


# Single active consumer


@scenario
def first_consumer_gets_everything(s):
    c, _, q = queue(s, SAC)
    one, two = consume(c, q, "one"), consume(c, q, "two")
    s.put(q, "a", "b", "c")
    one.deliveries(3)
    two.quiet()


@scenario
def the_next_takes_over_on_cancel(s):
    c, _, q = queue(s, SAC)
    one, two, three = (consume(c, q, tag, no_ack=True) for tag in ("one", "two", "three"))
    s.put(q, "a")
    one.deliveries(1)
    one.basic_cancel(consumer_tag="one")
    s.put(q, "b")
    two.deliveries(1)
    two.close()
    s.until(q, consumers=1)
    s.put(q, "c")
    three.deliveries(1)


@scenario
def cancelled_active_keeps_its_unacked(s):
    c, _, q = queue(s, SAC)
    one, two = consume(c, q, "one"), consume(c, q, "two")
    s.put(q, "a", "b")
    one.deliveries(2)
    one.basic_cancel(consumer_tag="one")
    s.put(q, "c")
    two.deliveries(1)
    two.quiet()
    one.close()
    two.deliveries(2)


@scenario
def active_consumers_connection_drops(s):
    first, second = s.connect(), s.connect()
    _, _, q = queue(s, SAC)
    one, two = consume(first, q, "one"), consume(second, q, "two")
    s.put(q, "a", "b")
    one.deliveries(2)
    one.basic_ack(delivery_tag=1)
    one.sync()
    first.abort()
    two.deliveries(1)


@scenario
def cancelled_waiting_one_changes_nothing(s):
    c, _, q = queue(s, SAC)
    one, two = consume(c, q, "one", no_ack=True), consume(c, q, "two", no_ack=True)
    two.basic_cancel(consumer_tag="two")
    s.put(q, "a")
    one.deliveries(1)


@scenario
def active_without_credit_does_not_hand_over(s):
    c, _, q = queue(s, SAC)
    one = c.channel()
    one.basic_qos(prefetch_count=1)
    one.basic_consume(queue=q, consumer_tag="one")
    two = consume(c, q, "two")
    s.put(q, "a", "b")
    one.deliveries(1)
    two.quiet()
    one.basic_ack(delivery_tag=1)
    one.deliveries(1)


@scenario
def exclusive_consumer_on_it(s):
    c, _, q = queue(s, SAC)
    consume(c, q, "one", exclusive=True)
    consume(c, q, "two")


@scenario
def get_from_it(s):
    c, ch, q = queue(s, SAC)
    s.put(q, "a", "b")
    ch.basic_get(queue=q)
    one = consume(c, q, "one")
    one.deliveries(1)
    ch.basic_get(queue=q)


@scenario
def consumers_are_all_counted(s):
    c, ch, q = queue(s, SAC)
    consume(c, q, "one")
    consume(c, q, "two")
    s.until(q, consumers=2)


@scenario
def sac_false_is_an_ordinary_queue(s):
    c, _, q = queue(s, {"x-single-active-consumer": False})
    one, two = consume(c, q, "one", no_ack=True), consume(c, q, "two", no_ack=True)
    s.put(q, "a")
    s.put(q, "b")
    one.deliveries(1)
    two.deliveries(1)


@scenario
def sac_ignores_consumer_priority(s):
    c, _, q = queue(s, SAC)
    one = consume(c, q, "one", priority=1, no_ack=True)
    two = consume(c, q, "two", priority=10, no_ack=True)
    s.put(q, "a")
    one.quiet()
    two.quiet()


@scenario
def sac_promotes_by_priority_or_by_age(s):
    c, _, q = queue(s, SAC)
    one = consume(c, q, "one", no_ack=True)
    consume(c, q, "two", priority=1, no_ack=True)
    consume(c, q, "three", priority=5, no_ack=True)
    one.basic_cancel(consumer_tag="one")
    s.put(q, "a")
    for number in (3, 4):
        c.channels[number].quiet()


# Consumer priorities


@scenario
def higher_gets_all_while_it_has_credit(s):
    c, _, q = queue(s, {})
    low = consume(c, q, "low", priority=-5, no_ack=True)
    high = c.channel()
    high.basic_qos(prefetch_count=2)
    high.basic_consume(queue=q, consumer_tag="high", arguments={"x-priority": 5})
    s.put(q, *"abc")
    high.deliveries(2)
    low.deliveries(1)
    high.basic_ack(delivery_tag=1)
    high.sync()
    s.put(q, "d")
    high.deliveries(1)


@scenario
def cancelled_high_gives_way(s):
    c, _, q = queue(s, {})
    low = consume(c, q, "low", no_ack=True)
    high = consume(c, q, "high", priority=1, no_ack=True)
    s.put(q, "a")
    high.deliveries(1)
    high.basic_cancel(consumer_tag="high")
    s.put(q, "b")
    low.deliveries(1)


@scenario
def equals_take_turns(s):
    c, _, q = queue(s, {})
    consume(c, q, "low", no_ack=True)
    one = consume(c, q, "one", priority=3, no_ack=True)
    two = consume(c, q, "two", priority=3, no_ack=True)
    for body in "abcd":
        s.put(q, body)
    one.deliveries(2)
    two.deliveries(2)


@scenario
def no_priority_is_zero(s):
    c, _, q = queue(s, {})
    none = consume(c, q, "none", no_ack=True)
    zero = consume(c, q, "zero", priority=0, no_ack=True)
    negative = consume(c, q, "negative", priority=-1, no_ack=True)
    for body in "abcd":
        s.put(q, body)
    none.deliveries(2)
    zero.deliveries(2)
    negative.quiet()


# Message priorities


def get_all(ch, q):
    while (reply := ch.basic_get(queue=q, no_ack=True)) and reply.key == "basic_get_ok":
        pass


@scenario
def higher_messages_come_first(s):
    _, ch, q = queue(s, {"x-max-priority": 10})
    for priority in (1, 5, 3, 5, 10, 0):
        ch.publish("", q, str(priority), priority=priority)
    ch.publish("", q, "none")
    get_all(ch, q)


@scenario
def priority_above_the_maximum_is_the_maximum(s):
    _, ch, q = queue(s, {"x-max-priority": 3})
    for priority in (3, 255, 2, 4):
        ch.publish("", q, str(priority), priority=priority)
    get_all(ch, q)


@scenario
def queue_without_priorities_ignores_them(s):
    _, ch, q = queue(s, {})
    for priority in (1, 5, 3):
        ch.publish("", q, str(priority), priority=priority)
    get_all(ch, q)


@scenario
def max_priority_0(s):
    _, ch, q = queue(s, {"x-max-priority": 0})
    for priority in (0, 5, 1):
        ch.publish("", q, str(priority), priority=priority)
    get_all(ch, q)


@scenario
def requeued_keeps_its_priority(s):
    _, ch, q = queue(s, {"x-max-priority": 5})
    for body, priority in (("a", 1), ("b", 3), ("c", 3), ("d", 5)):
        ch.publish("", q, body, priority=priority)
    for _ in range(3):
        ch.basic_get(queue=q)
    ch.basic_nack(delivery_tag=3, multiple=True, requeue=True)
    get_all(ch, q)


@scenario
def length_limit_with_priorities(s):
    _, ch, q = queue(s, {"x-max-priority": 5, "x-max-length": 2})
    for body, priority in (("a", 5), ("b", 1), ("c", 3), ("d", 0)):
        ch.publish("", q, body, priority=priority)
    get_all(ch, q)


@scenario
def priorities_to_a_consumer(s):
    c, ch, q = queue(s, {"x-max-priority": 5})
    for priority in (1, 4, 2):
        s.put(q, str(priority), priority=priority)
    ch.basic_qos(prefetch_count=1)
    ch.basic_consume(queue=q, consumer_tag="t")
    for tag in (1, 2, 3):
        ch.deliveries(1)
        ch.basic_ack(delivery_tag=tag)
    ch.sync()
