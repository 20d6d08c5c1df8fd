/* Flows about who may do what, and how those who may not are told. */
package interop;

import static interop.Check.WAIT_MS;
import static interop.Check.check;
import static interop.Check.closesChannel;
import static interop.Check.equal;
import static interop.Message.drain;
import static interop.Message.publish;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AuthenticationFailureException;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.util.List;

final class AccessFlows {
    private static final String PASSWORD = System.getenv("USERS_PASSWORD");

    /** Only where there are the users. */
    static final List<Main.Named> ALL = PASSWORD == null ? List.of() : List.of(
            new Main.Named("permissions", AccessFlows::permissions),
            new Main.Named("logins", AccessFlows::logins));

    private interface Use {
        void of(Channel channel) throws Exception;
    }

    private AccessFlows() {}

    private static ConnectionFactory as(String user, String password) throws Exception {
        ConnectionFactory factory = Flow.factory();
        factory.setUsername(user);
        factory.setPassword(password);
        factory.setVirtualHost("/");
        return factory;
    }

    private static ConnectionFactory byProxy(ConnectionFactory factory) {
        String[] address = System.getenv("PROXY_ADDRESS").split(":");
        factory.setHost(address[0]);
        factory.setPort(Integer.parseInt(address[1]));
        return factory;
    }

    /** Asserts that the channel on which the user does it is closed, with 403 and this text. */
    private static void refused(String user, String text, Use use) throws Exception {
        Connection connection = as(user, PASSWORD).newConnection();
        Channel channel = connection.createChannel();
        channel.confirmSelect();
        closesChannel(AMQP.ACCESS_REFUSED, () -> use.of(channel));
        AMQP.Channel.Close reason = (AMQP.Channel.Close) channel.getCloseReason().getReason();
        equal(reason.getReplyText(),
                "ACCESS_REFUSED - %s refused for user '%s'".formatted(text, user), "text");
        check(connection.isOpen(), "a channel error must leave the connection open");
        connection.close(WAIT_MS);
    }

    /** Each permission that is missing is named, and costs the channel only. */
    private static void permissions(Flow flow) throws Exception {
        String queue = flow.queue(flow.channel(), "queue");
        String missing = flow.unique("missing");
        refused("no_configure", "configure access to queue '%s' in vhost '/'".formatted(missing),
                channel -> channel.queueDeclare(missing, false, false, false, null));
        refused("no_configure", "configure access to queue '%s' in vhost '/'".formatted(queue),
                channel -> channel.queueDelete(queue));
        refused("no_write", "write access to exchange 'amq.default' in vhost '/'",
                channel -> publish(channel, "", queue, "refused"));
        refused("no_write", "write access to queue '%s' in vhost '/'".formatted(queue),
                channel -> channel.queueBind(queue, "amq.direct", "key"));
        refused("no_read", "read access to queue '%s' in vhost '/'".formatted(queue),
                channel -> channel.basicGet(queue, true));
        refused("no_read", "read access to exchange 'amq.direct' in vhost '/'",
                channel -> channel.queueBind(queue, "amq.direct", "key"));
        String topic = "topic 'other.key' in exchange topic 'amq.topic' in vhost '/'";
        refused("topical", "write access to " + topic,
                channel -> publish(channel, "amq.topic", "other.key", "refused"));
        refused("topical", "read access to " + topic,
                channel -> channel.queueBind(queue, "amq.topic", "other.key"));

        Channel own = flow.channel(flow.connect(as("topical", PASSWORD)));
        own.queueBind(queue, "amq.topic", "topical.#");
        publish(own, "amq.topic", "topical.key", "allowed");
        equal(Message.bodies(drain(own, queue)), List.of("allowed"), "what came through");
    }

    private static void unknown(ConnectionFactory factory) throws Exception {
        String text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."
                + " For details see the broker logfile.";
        try {
            factory.newConnection().close();
        } catch (AuthenticationFailureException refusal) {
            equal(refusal.getMessage(), text, "the refusal");
            return;
        }
        throw new AssertionError(factory.getUsername() + " was let in");
    }

    private static void notAllowed(ConnectionFactory factory, String text) throws Exception {
        try {
            factory.newConnection().close();
        } catch (IOException refusal) {
            check(refusal.getCause() instanceof ShutdownSignalException, "no closing: " + refusal);
            ShutdownSignalException closing = (ShutdownSignalException) refusal.getCause();
            AMQP.Connection.Close reason = (AMQP.Connection.Close) closing.getReason();
            equal(reason.getReplyCode(), AMQP.NOT_ALLOWED, "reply code of the closing");
            equal(reason.getReplyText(), "NOT_ALLOWED - " + text, "text of the closing");
            return;
        }
        throw new AssertionError(factory.getUsername() + " was let in");
    }

    /** Wrong passwords, users that are not known, vhosts that are closed to them or not there. */
    private static void logins(Flow flow) throws Exception {
        unknown(as("no_read", "x"));
        unknown(as("unknown", PASSWORD));
        unknown(byProxy(as("guest", "guest")));
        notAllowed(as("outsider", PASSWORD),
                "access to vhost '/' refused for user 'outsider'");
        ConnectionFactory elsewhere = as("guest", "guest");
        elsewhere.setVirtualHost("missing");
        notAllowed(elsewhere, "vhost missing not found");
        flow.connect(byProxy(as("topical", PASSWORD)));
    }
}
