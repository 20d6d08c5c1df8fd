import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.MessageProperties;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.CountDownLatch;

/** Publishes a message, waits for the broker's confirm, and consumes it. */
public final class Hello {
    private static final String QUEUE = "hello.java";

    private Hello() { }

    public static void main(String[] arguments) throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(System.getenv().getOrDefault(
            "AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2F"));
        try (Connection connection = factory.newConnection();
                Channel channel = connection.createChannel()) {
            channel.queueDeclare(QUEUE, true, false, false, Map.of());
            channel.confirmSelect();

            byte[] body = "Hello, Leveret".getBytes(StandardCharsets.UTF_8);
            channel.basicPublish("", QUEUE, true, MessageProperties.PERSISTENT_BASIC, body);
            channel.waitForConfirmsOrDie(10_000); // now it is on disk

            CountDownLatch received = new CountDownLatch(1);
            channel.basicConsume(QUEUE, false, (tag, delivery) -> {
                System.out.println("received " + new String(delivery.getBody(), StandardCharsets.UTF_8));
                channel.basicAck(delivery.getEnvelope().getDeliveryTag(), false);
                received.countDown();
            }, tag -> { });
            received.await();
        }
    }
}
