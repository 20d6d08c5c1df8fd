/* Flows about how a queue hands messages out: fairness, requeueing, sizes, priorities, cancels. */
package interop;

import static interop.Check.check;
import static interop.Check.equal;
import static interop.Check.eventually;
import static interop.Inbox.worker;
import static interop.Message.bodies;
import static interop.Message.drain;
import static interop.Message.publish;
import static interop.Message.ready;
import static java.nio.charset.StandardCharsets.UTF_8;

import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.MessageProperties;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;

final class DeliveryFlows {
    static final List<Main.Named> ALL = List.of(
            new Main.Named("work_queue", DeliveryFlows::workQueue),
            new Main.Named("get_nack_requeue", DeliveryFlows::getNackRequeue),
            new Main.Named("large_messages", DeliveryFlows::largeMessages),
            new Main.Named("consumer_cancel_notify", DeliveryFlows::consumerCancelNotify),
            new Main.Named("priorities_and_sac", DeliveryFlows::prioritiesAndSac));

    private DeliveryFlows() {}

    /** Two workers with prefetch 1: a busy one gets no second task; its task returns if it dies. */
    private static void workQueue(Flow flow) throws Exception {
        Channel channel = flow.channel();
        String tasks = flow.queue(channel, "tasks", Flow.Trait.DURABLE);
        Connection connection = flow.connect();
        Inbox busy = worker(connection, tasks, 1, Map.of());
        Inbox quick = worker(connection, tasks, 1, Map.of());
        for (int number = 0; number < 6; number++) {
            publish(channel, "", tasks, MessageProperties.MINIMAL_PERSISTENT_BASIC,
                    String.valueOf(number).getBytes(UTF_8));
        }
        busy.await(1);
        for (int done = 1; done <= 5; done++) {
            quick.await(done);
            quick.ack(done - 1);
        }
        List<Message> given = new ArrayList<>(busy.await(1));
        given.addAll(quick.await(5));
        equal(sorted(bodies(given)), List.of("0", "1", "2", "3", "4", "5"), "all tasks");
        equal(Message.redelivered(given), Collections.nCopies(6, false), "redelivered flags");
        equal(quick.bodies(), sorted(quick.bodies()), "order of the quick worker's tasks");

        busy.channel.close();
        Message returned = quick.await(6).get(5);
        equal(returned.body(), busy.bodies().get(0), "the dead worker's task");
        check(returned.redelivered(), "the dead worker's task must be redelivered");
        quick.ack(5);
        quick.channel.close();
        equal(bodies(drain(channel, tasks)), List.of(), "tasks left");
    }

    private static List<String> sorted(List<String> values) {
        return values.stream().sorted().toList();
    }

    /** basic.get; nack of several at once; what is requeued comes back where it was. */
    private static void getNackRequeue(Flow flow) throws Exception {
        Channel channel = flow.channel();
        String queue = flow.queue(channel, "queue");
        for (int number = 1; number <= 5; number++) {
            publish(channel, "", queue, "m" + number);
        }
        List<Long> tags = new ArrayList<>();
        for (int left = 4; left >= 2; left--) {
            GetResponse got = channel.basicGet(queue, false);
            equal(got.getMessageCount(), left, "message count");
            tags.add(got.getEnvelope().getDeliveryTag());
        }
        channel.basicNack(tags.get(1), true, true);
        List<Message> again = new ArrayList<>();
        for (int number = 0; number < 3; number++) {
            again.add(Message.get(channel, queue, false));
        }
        equal(bodies(again), List.of("m1", "m2", "m4"), "order after the first nack");
        equal(Message.redelivered(again), List.of(true, true, false), "redelivered flags");
        channel.basicNack(tags.get(2), false, true);
        Message requeued = Message.get(channel, queue, false);
        equal(requeued.body(), "m3", "the requeued message, ahead of m5");
        check(requeued.redelivered(), "the requeued message must be redelivered");
        channel.basicReject(requeued.tag(), false);
        channel.basicAck(0, true);
        equal(bodies(drain(channel, queue)), List.of("m5"), "what is left");
        equal(channel.basicGet(queue, false), null, "answer of an empty queue");
    }

    /** Bodies around the frame size and far above it arrive byte for byte. */
    private static void largeMessages(Flow flow) throws Exception {
        Connection connection = flow.connect();
        Channel channel = flow.channel(connection);
        String queue = flow.queue(channel, "queue");
        Inbox inbox = new Inbox(channel, queue, false);
        int frameMax = connection.getFrameMax();
        int payloadMax = frameMax - 8;
        List<Integer> sizes = List.of(0, 1, payloadMax - 1, payloadMax, payloadMax + 1,
                frameMax - 1, frameMax, frameMax + 1, 2 * payloadMax, 1 << 20, 16 << 20);
        Random random = new Random();
        for (int position = 0; position < sizes.size(); position++) {
            byte[] content = new byte[sizes.get(position)];
            random.nextBytes(content);
            publish(channel, "", queue, Message.PLAIN, content);
            byte[] received = inbox.await(position + 1).get(position).content();
            equal(received.length, content.length, "length of the body");
            equal(sha256(received), sha256(content),
                    "SHA-256 of %d bytes".formatted(content.length));
            inbox.ack(position);
        }
    }

    private static String sha256(byte[] content) throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
    }

    /** A consumer is told when its queue is deleted, and its channel stays usable. */
    private static void consumerCancelNotify(Flow flow) throws Exception {
        Channel channel = flow.channel();
        String doomed = flow.queue(channel, "doomed");
        Inbox inbox = new Inbox(channel, doomed, false);
        publish(channel, "", doomed, "before");
        inbox.await(1);
        flow.channel().queueDelete(doomed);
        eventually(() -> !inbox.cancelled.isEmpty(), "no basic.cancel came");
        equal(inbox.cancelled, List.of(inbox.tag), "cancelled consumers");
        String other = flow.queue(channel, "other");
        publish(channel, "", other, "after");
        List<Message> left = drain(channel, other);
        equal(bodies(left), List.of("after"), "messages through the same channel");
        equal(Message.keys(left), List.of(other), "routing keys of these messages");
    }

    /** x-priority: the higher first while it has room. Single active: one, then the next. */
    private static void prioritiesAndSac(Flow flow) throws Exception {
        Channel channel = flow.channel();
        String queue = flow.queue(channel, "priorities");
        Inbox low = worker(flow.connect(), queue, 2, Map.of("x-priority", -1));
        Inbox high = worker(flow.connect(), queue, 2, Map.of("x-priority", 10));
        for (int number = 0; number < 3; number++) {
            publish(channel, "", queue, String.valueOf(number));
        }
        equal(bodies(high.await(2)), List.of("0", "1"), "high first");
        equal(bodies(low.await(1)), List.of("2"), "the rest to low");
        high.ack(0);
        ready(high.channel, queue); // answered after the ack, which itself has no answer
        publish(channel, "", queue, "3");
        equal(high.await(3).get(2).body(), "3", "message after high has room again");
        equal(low.bodies().size(), 1, "deliveries to low");

        String single = flow.queue(channel, "single", Map.of("x-single-active-consumer", true));
        Inbox active = worker(flow.connect(), single, 2, Map.of());
        Inbox waiting = worker(flow.connect(), single, 2, Map.of());
        for (int number = 0; number < 2; number++) {
            publish(channel, "", single, String.valueOf(number));
        }
        active.await(2);
        active.ack(0);
        equal(ready(channel, single), 0, "messages ready");
        equal(waiting.bodies(), List.of(), "deliveries to the waiting consumer");
        active.channel.close();
        Message failedOver = waiting.await(1).get(0);
        equal(failedOver.body(), "1", "first message after the fail-over");
        check(failedOver.redelivered(), "redelivered flag after the fail-over");
        publish(channel, "", single, "2");
        equal(waiting.await(2).get(1).body(), "2", "second message after the fail-over");
    }
}
