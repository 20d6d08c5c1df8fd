"""tx.select, commit, rollback."""

from harness.registry import scenario


def transactional(s, *bodies):
    c = s.connect()
    ch = c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    if bodies:
        s.put(q, *bodies)
    ch.tx_select()
    return c, ch, q


@scenario
def select_twice(s):
    _, ch, _ = transactional(s)
    ch.tx_select()


@scenario
def commit_without_select(s):
    s.channel().tx_commit()


@scenario
def rollback_without_select(s):
    s.channel().tx_rollback()


@scenario
def commit_of_nothing(s):
    _, ch, _ = transactional(s)
    ch.tx_commit()
    ch.tx_rollback()


@scenario
def publishes_wait_for_commit(s):
    c, ch, q = transactional(s)
    ch.publish("", q, "a")
    ch.publish("", q, "b")
    c.channel().basic_get(queue=q)
    ch.tx_commit()
    s.until(q, messages=2)
    s.drain(q)


@scenario
def rollback_drops_publishes(s):
    _, ch, q = transactional(s)
    ch.publish("", q, "a")
    ch.tx_rollback()
    ch.publish("", q, "b")
    ch.tx_commit()
    s.until(q, messages=1)
    s.drain(q)


@scenario
def channel_close_drops_publishes(s):
    _, ch, q = transactional(s)
    ch.publish("", q, "a")
    ch.close()
    s.until(q, messages=0)


@scenario
def get_on_the_same_channel_does_not_see_them(s):
    _, ch, q = transactional(s)
    ch.publish("", q, "a")
    ch.basic_get(queue=q)
    ch.tx_commit()
    ch.basic_get(queue=q)


@scenario
def returns_wait_for_commit(s):
    _, ch, _ = transactional(s)
    ch.publish("amq.direct", s.name("nobody"), "a", mandatory=True)
    ch.sync()
    s.note("before commit")
    ch.tx_commit()
    ch.sync()


@scenario
def rollback_drops_returns(s):
    _, ch, _ = transactional(s)
    ch.publish("amq.direct", s.name("nobody"), "a", mandatory=True)
    ch.tx_rollback()
    ch.tx_commit()
    ch.sync()


@scenario
def missing_exchange_fails_at_once(s):
    _, ch, q = transactional(s)
    ch.publish("", q, "a")
    ch.publish(s.name("missing"), "k", "b")
    ch.wait("channel_close")
    s.until(q, messages=0)


@scenario
def queue_deleted_before_commit(s):
    c, ch, q = transactional(s)
    ch.publish("", q, "a", mandatory=True)
    ch.sync()
    c.channel().queue_delete(queue=q)
    ch.tx_commit()
    ch.sync()


@scenario
def exchange_deleted_before_commit(s):
    c, ch, q = transactional(s)
    x = s.name("x")
    ch.exchange_declare(exchange=x, exchange_type="fanout")
    ch.queue_bind(queue=q, exchange=x)
    ch.publish(x, "", "a")
    ch.sync()
    c.channel().exchange_delete(exchange=x)
    ch.tx_commit()
    s.until(q, messages=1)


@scenario
def binding_added_before_commit(s):
    """When a message is routed: at the publish or at the commit."""
    c, ch, q = transactional(s)
    ch.publish("amq.direct", q, "a", mandatory=True)
    ch.sync()
    c.channel().queue_bind(queue=q, exchange="amq.direct", routing_key=q)
    ch.tx_commit()
    ch.sync()
    s.drain(q)


@scenario
def acks_wait_for_commit(s):
    c, ch, q = transactional(s, "a", "b")
    ch.basic_get(queue=q)
    ch.basic_get(queue=q)
    ch.basic_ack(delivery_tag=1)
    ch.tx_commit()
    ch.basic_ack(delivery_tag=2)
    ch.close()
    s.until(q, messages=1)
    s.drain(q)


@scenario
def rollback_makes_tags_ackable_again(s):
    _, ch, q = transactional(s, "a", "b", "c")
    for _ in range(3):
        ch.basic_get(queue=q)
    ch.basic_ack(delivery_tag=2)
    ch.basic_ack(delivery_tag=1)
    ch.tx_rollback()
    ch.basic_ack(delivery_tag=1)
    ch.basic_ack(delivery_tag=2)
    ch.tx_commit()
    ch.close()
    s.until(q, messages=1)
    s.drain(q)


@scenario
def rollback_does_not_requeue(s):
    _, ch, q = transactional(s, "a")
    ch.basic_get(queue=q)
    ch.tx_rollback()
    ch.basic_get(queue=q)


@scenario
def ack_twice_before_commit(s):
    _, ch, q = transactional(s, "a")
    ch.basic_get(queue=q)
    ch.basic_ack(delivery_tag=1)
    ch.basic_ack(delivery_tag=1)
    ch.wait("channel_close")
    s.until(q, messages=1)


@scenario
def ack_unknown(s):
    _, ch, _ = transactional(s)
    ch.basic_ack(delivery_tag=5)
    ch.wait("channel_close")


@scenario
def ack_all_by_0_multiple(s):
    _, ch, q = transactional(s, "a", "b")
    ch.basic_get(queue=q)
    ch.basic_get(queue=q)
    ch.basic_ack(delivery_tag=0, multiple=True)
    ch.tx_commit()
    ch.close()
    s.until(q, messages=0)


@scenario
def nack_requeues_at_commit(s):
    _, ch, q = transactional(s, "a")
    ch.basic_get(queue=q)
    ch.basic_nack(delivery_tag=1, requeue=True)
    ch.basic_get(queue=q)
    ch.tx_commit()
    ch.basic_get(queue=q)


@scenario
def reject_drops_at_commit(s):
    _, ch, q = transactional(s, "a", "b")
    ch.basic_get(queue=q)
    ch.basic_reject(delivery_tag=1, requeue=False)
    ch.tx_commit()
    ch.basic_get(queue=q)
    ch.basic_get(queue=q)


@scenario
def ack_and_nack_in_one_commit(s):
    _, ch, q = transactional(s, *"abcd")
    for _ in range(4):
        ch.basic_get(queue=q)
    ch.basic_nack(delivery_tag=3, requeue=True)
    ch.basic_ack(delivery_tag=2, multiple=True)
    ch.basic_nack(delivery_tag=4, requeue=True)
    ch.tx_commit()
    ch.basic_get(queue=q)
    ch.basic_get(queue=q)


@scenario
def no_ack_get_is_outside(s):
    _, ch, q = transactional(s, "a")
    ch.basic_get(queue=q, no_ack=True)
    ch.tx_rollback()
    ch.basic_get(queue=q)


@scenario
def close_requeues_what_was_acked_but_not_committed(s):
    _, ch, q = transactional(s, "a", "b")
    ch.basic_get(queue=q)
    ch.basic_get(queue=q)
    ch.basic_ack(delivery_tag=1)
    ch.close()
    s.until(q, messages=2)
    s.drain(q)


@scenario
def several_queues_in_one_commit(s):
    _, ch, q = transactional(s)
    other = s.name("r")
    ch.queue_declare(queue=other)
    for body in "abc":
        ch.publish("", q, body)
        ch.publish("", other, body)
    ch.tx_commit()
    s.until(q, messages=3)
    s.until(other, messages=3)
    s.drain(q)
    s.drain(other)


@scenario
def confirm_select_after_tx_select(s):
    _, ch, _ = transactional(s)
    ch.confirm_select()


@scenario
def tx_select_after_confirm_select(s):
    ch = s.channel()
    ch.confirm_select()
    ch.tx_select()
