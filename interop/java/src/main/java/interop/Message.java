/* A message that came, and the ways to send one, to get some and to count them. */
package interop;

import static interop.Check.WAIT_MS;
import static interop.Check.check;
import static interop.Check.closesChannel;
import static java.nio.charset.StandardCharsets.UTF_8;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AMQP.BasicProperties;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.Envelope;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.Return;
import com.rabbitmq.client.ReturnListener;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

record Message(Envelope envelope, BasicProperties properties, byte[] content) {
    static final BasicProperties PLAIN = new BasicProperties();

    interface Declaration {
        void on(Channel channel) throws IOException;
    }

    String body() {
        return new String(content, UTF_8);
    }

    String key() {
        return envelope.getRoutingKey();
    }

    boolean redelivered() {
        return envelope.isRedeliver();
    }

    long tag() {
        return envelope.getDeliveryTag();
    }

    static List<String> bodies(List<Message> messages) {
        return messages.stream().map(Message::body).toList();
    }

    static List<String> keys(List<Message> messages) {
        return messages.stream().map(Message::key).toList();
    }

    static List<Boolean> redelivered(List<Message> messages) {
        return messages.stream().map(Message::redelivered).toList();
    }

    /** Publishes on a channel in confirm mode, and returns once the broker has taken it over. */
    static void publish(Channel channel, String exchange, String key, String body)
            throws Exception {
        publish(channel, exchange, key, PLAIN, body.getBytes(UTF_8));
    }

    static void publish(Channel channel, String exchange, String key, BasicProperties properties,
            byte[] content) throws Exception {
        channel.basicPublish(exchange, key, properties, content);
        channel.waitForConfirmsOrDie(WAIT_MS);
    }

    /** Publishes what has to reach a queue, and gives the returns; they come before the confirm. */
    static List<Return> publishMandatory(Channel channel, String exchange, String key, String body)
            throws Exception {
        List<Return> returns = new CopyOnWriteArrayList<>();
        ReturnListener listener = channel.addReturnListener(returns::add);
        channel.basicPublish(exchange, key, true, PLAIN, body.getBytes(UTF_8));
        channel.waitForConfirmsOrDie(WAIT_MS);
        channel.removeReturnListener(listener);
        return returns;
    }

    /** Gets a message that must be there. */
    static Message get(Channel channel, String queue, boolean autoAck) throws Exception {
        Message message = poll(channel, queue, autoAck);
        check(message != null, queue + " should not be empty");
        return message;
    }

    private static Message poll(Channel channel, String queue, boolean autoAck) throws Exception {
        GetResponse got = channel.basicGet(queue, autoAck);
        return got == null ? null : new Message(got.getEnvelope(), got.getProps(), got.getBody());
    }

    /** All that lies in a queue, in order. */
    static List<Message> drain(Channel channel, String queue) throws Exception {
        List<Message> messages = new ArrayList<>();
        for (Message next; (next = poll(channel, queue, true)) != null; ) {
            messages.add(next);
        }
        return messages;
    }

    /** How many messages lie ready in a queue. */
    static int ready(Channel channel, String queue) throws Exception {
        return channel.queueDeclarePassive(queue).getMessageCount();
    }

    /** Whether the passive declaration finds what it names. */
    static boolean exists(Connection connection, Declaration declaration) throws Exception {
        Channel channel = connection.createChannel();
        try {
            declaration.on(channel);
        } catch (IOException problem) {
            closesChannel(AMQP.NOT_FOUND, () -> { throw problem; });
            return false;
        }
        channel.close();
        return true;
    }
}
