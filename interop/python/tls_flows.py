"""Flows over TLS: a server that is verified, a client's certificate, and who is refused."""

import os
import pathlib
import ssl

import pika

from harness import PERSISTENT, WAIT_S, check, drain, equal

URI = os.environ.get("AMQPS_URL")
CERTIFICATES = pathlib.Path(os.environ.get("TLS_DIR", "."))


def connect(authority="ca.pem", identity=None, credentials=None):
    context = ssl.create_default_context(cafile=CERTIFICATES / authority)
    if identity:
        context.load_cert_chain(CERTIFICATES / f"{identity}.pem", CERTIFICATES / f"{identity}.key")
    parameters = pika.URLParameters(URI)
    parameters.socket_timeout = parameters.stack_timeout = WAIT_S
    parameters.ssl_options = pika.SSLOptions(context, "localhost")
    if credentials:
        parameters.credentials = credentials
    return pika.BlockingConnection(parameters)


def exchange_messages(connection):
    """Publishes, is confirmed, and takes it all back: small messages and one of many records."""
    channel = connection.channel()
    channel.confirm_delivery()
    queue = channel.queue_declare("", exclusive=True).method.queue
    bodies = [b"%d" % number for number in range(100)] + [os.urandom(1 << 20)]
    for body in bodies:
        channel.basic_publish("", queue, body, PERSISTENT)
    equal([body for _, body in drain(channel, queue)], bodies, "what came back")
    connection.close()


def verified_server(flow):
    """A server whose certificate is verified; logged in by password."""
    exchange_messages(connect())


def external(flow):
    """Logged in by a certificate alone."""
    exchange_messages(connect(
        identity="client", credentials=pika.credentials.ExternalCredentials()))


def strangers(flow):
    """The client refuses a server of another authority, the server such a client."""
    for case in ({"authority": "other-ca.pem"}, {"identity": "other-client"}):
        try:
            connect(**case).close()
        except (pika.exceptions.AMQPConnectionError, ssl.SSLError, OSError):
            continue
        check(False, f"{case} was not refused")


def close_behind_publishes(flow):
    """A close right behind 10,000 publishes overtakes none of them, and is answered."""
    channel = connect().channel()
    queue = flow.queue(flow.channel(), "queue")
    for number in range(10_000):
        channel.basic_publish("", queue, b"%d" % number)
    channel.connection.close()
    check(channel.connection.is_closed, "the close was not answered")
    other = flow.channel()
    equal(other.queue_declare(queue, passive=True).method.message_count, 10_000, "messages")


FLOWS = [verified_server, external, strangers, close_behind_publishes] if URI else []
