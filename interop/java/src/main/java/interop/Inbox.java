/* A consumer that collects deliveries; `await` blocks until enough of them came. */
package interop;

import static interop.Check.equal;
import static interop.Check.eventually;

import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;

final class Inbox {
    final Channel channel;
    final String tag;
    final List<String> cancelled = new CopyOnWriteArrayList<>();
    private final List<Message> messages = new CopyOnWriteArrayList<>();

    Inbox(Channel channel, String queue, boolean autoAck) throws Exception {
        this(channel, queue, autoAck, Map.of());
    }

    Inbox(Channel channel, String queue, boolean autoAck, Map<String, Object> arguments)
            throws Exception {
        this.channel = channel;
        tag = channel.basicConsume(queue, autoAck, arguments,
                (consumerTag, delivery) -> messages.add(new Message(
                        delivery.getEnvelope(), delivery.getProperties(), delivery.getBody())),
                consumerTag -> cancelled.add(consumerTag));
    }

    /** A consumer with a channel of its own that acknowledges, and takes only so many before. */
    static Inbox worker(Connection connection, String queue, int prefetch,
            Map<String, Object> arguments) throws Exception {
        Channel channel = connection.createChannel();
        channel.basicQos(prefetch);
        return new Inbox(channel, queue, false, arguments);
    }

    /** All messages once there are `count` of them, of which there must not be more. */
    List<Message> await(int count) throws Exception {
        eventually(() -> messages.size() >= count,
                "fewer than %d deliveries came".formatted(count));
        List<Message> came = messages();
        equal(came.size(), count, "number of deliveries");
        return came;
    }

    List<Message> messages() {
        return List.copyOf(messages);
    }

    List<String> bodies() {
        return Message.bodies(messages);
    }

    void ack(int position) throws Exception {
        channel.basicAck(messages.get(position).tag(), false);
    }
}
