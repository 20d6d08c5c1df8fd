"""A pytest plugin: gives AMQPStorm's functional tests, in place of the management API, AMQP.

They use that API to remove what they made and now and then to publish; both go over AMQP as well.
Whatever else they ask of it fails, and is left out in expected.json.
"""

import amqpstorm
from amqpstorm.management import exception
from amqpstorm.tests import URI
from amqpstorm.tests.functional import utility


class OverAmqp:
    """The few operations, each over a connection of its own."""

    def __init__(self, *_arguments, **_options):
        self.queue = Part(lambda channel, name: channel.queue.delete(name))
        self.exchange = Part(lambda channel, name: channel.exchange.delete(name))
        self.basic = Publisher()


class Part:
    """Queues or exchanges, of which only the removal is needed."""

    def __init__(self, remove):
        self.remove = remove

    def delete(self, name):
        """Removes one by name; as with the management API, a missing one is an error."""
        with_channel(lambda channel: self.remove(channel, name))


class Publisher:
    """Publishes to a queue by name."""

    @staticmethod
    def publish(body, routing_key):
        """Publishes one message through the default exchange."""
        def confirmed(channel):
            channel.confirm_deliveries()
            channel.basic.publish(body, routing_key)
        with_channel(confirmed)


def with_channel(act):
    """Does something on a channel of its own."""
    try:
        with amqpstorm.UriConnection(URI) as connection, connection.channel() as channel:
            act(channel)
    except amqpstorm.AMQPError as error:
        raise exception.ApiError(str(error)) from error


utility.ManagementApi = OverAmqp
