"""What several files of scenarios begin or end with."""


def arguments(**named) -> dict:
    """Queue and exchange arguments: `x_message_ttl=5` is `x-message-ttl: 5`."""
    return {name.replace("_", "-"): value for name, value in named.items()}


def open_queue(s, label="q", quorum=False, **named):
    """A queue on a channel of its own: connection, channel and name."""
    c = s.connect()
    ch = c.channel()
    return c, ch, declare(s, ch, label, quorum, **named)


def declare(s, ch, label="q", quorum=False, **named) -> str:
    """Declares a queue, classic and transient or quorum and durable; gives its name."""
    name, wanted = s.name(label), arguments(**named)
    if quorum:
        wanted = {"x-queue-type": "quorum"} | wanted
    ch.queue_declare(queue=name, durable=quorum, arguments=wanted)
    return name


def dying_queue(s, quorum=False, key=None, **named):
    """A queue `q` whose dead letters go to the queue `dlq`: connection, channel and both names."""
    c = s.connect()
    ch = c.channel()
    dlq = declare(s, ch, "dlq")
    key = dlq if key is None else key
    q = declare(s, ch, "q", quorum, x_dead_letter_exchange="", x_dead_letter_routing_key=key,
                **named)
    return c, ch, q, dlq


def take_all(ch, q):
    """Gets until the queue is empty, without acknowledgement."""
    while (reply := ch.basic_get(queue=q, no_ack=True)) and reply.key == "basic_get_ok":
        pass


def reject(s, ch, q, to, tag=1):
    """Gets one message, rejects it, and waits until it is the only one in `to`."""
    ch.basic_get(queue=q)
    ch.basic_reject(delivery_tag=tag, requeue=False)
    s.until(to, messages=1)
