/* One flow's connections and names; everything it declared is gone after `close`. */
package interop;

import static interop.Check.WAIT_MS;

import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;

final class Flow {
    /** How a declaration departs from a plain one: not durable, shared, kept. */
    enum Trait { DURABLE, EXCLUSIVE, AUTO_DELETE }

    private static final String RUN = UUID.randomUUID().toString().substring(0, 8);
    private static final String URI =
            Objects.requireNonNullElse(System.getenv("AMQP_URL"),
                    "amqp://guest:guest@127.0.0.1:5672/%2F");

    private final String name;
    private final List<Connection> connections = new ArrayList<>();
    private final List<String> queues = new ArrayList<>();
    private final List<String> exchanges = new ArrayList<>();

    Flow(String name) {
        this.name = name;
    }

    /** Connects to the broker once: a lost connection stays lost, and every answer has its time. */
    static ConnectionFactory factory() throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(URI);
        factory.setAutomaticRecoveryEnabled(false);
        factory.setConnectionTimeout(WAIT_MS);
        factory.setHandshakeTimeout(WAIT_MS);
        factory.setShutdownTimeout(WAIT_MS);
        factory.setChannelRpcTimeout(WAIT_MS);
        return factory;
    }

    String unique(String suffix) {
        return "interop.java.%s.%s.%s".formatted(RUN, name, suffix);
    }

    Connection connect() throws Exception {
        return connect(factory());
    }

    Connection connect(ConnectionFactory factory) throws Exception {
        Connection connection = factory.newConnection();
        connections.add(connection);
        return connection;
    }

    /** A channel in confirm mode on a connection of its own. */
    Channel channel() throws Exception {
        return channel(connect());
    }

    Channel channel(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        channel.confirmSelect();
        return channel;
    }

    String queue(Channel channel, String suffix, Trait... traits) throws Exception {
        return queue(channel, suffix, Map.of(), traits);
    }

    String queue(Channel channel, String suffix, Map<String, Object> arguments, Trait... traits)
            throws Exception {
        List<Trait> has = List.of(traits);
        String queue = unique(suffix);
        queues.add(queue);
        channel.queueDeclare(queue, has.contains(Trait.DURABLE), has.contains(Trait.EXCLUSIVE),
                has.contains(Trait.AUTO_DELETE), arguments);
        return queue;
    }

    String exchange(Channel channel, String suffix, String kind, Trait... traits) throws Exception {
        return exchange(channel, suffix, kind, Map.of(), traits);
    }

    String exchange(Channel channel, String suffix, String kind, Map<String, Object> arguments,
            Trait... traits) throws Exception {
        List<Trait> has = List.of(traits);
        String exchange = unique(suffix);
        exchanges.add(exchange);
        channel.exchangeDeclare(exchange, kind, has.contains(Trait.DURABLE),
                has.contains(Trait.AUTO_DELETE), arguments);
        return exchange;
    }

    void close() throws Exception {
        for (Connection connection : connections) {
            if (connection.isOpen()) {
                connection.close(WAIT_MS);
            } else {
                connection.abort(WAIT_MS); // ends what would recover it
            }
        }
        try (Connection connection = factory().newConnection()) {
            Channel channel = connection.createChannel();
            for (String queue : queues) {
                channel.queueDelete(queue);
            }
            for (String exchange : exchanges) {
                channel.exchangeDelete(exchange);
            }
        }
    }
}
