/* The flow through an alarm: publishers are blocked and told so, consumers are not. */
package interop;

import static interop.Check.WAIT_MS;
import static interop.Check.check;
import static interop.Check.equal;
import static interop.Check.eventually;
import static java.nio.charset.StandardCharsets.UTF_8;

import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

final class BlockedFlows {
    private static final String ALARM = System.getenv("ALARM");
    private static final int BLOCKED_MS = 1_000; // how soon a publisher learns that it is blocked
    private static final int HEARTBEAT_S = 1;

    /** Only where the broker is one whose alarm we can raise. */
    static final List<Main.Named> ALL = ALARM == null ? List.of() : List.of(
            new Main.Named("blocked", BlockedFlows::blocked));

    private BlockedFlows() {}

    private static void alarm(String state) throws Exception {
        int code = new ProcessBuilder(ALARM, state).inheritIO().start().waitFor();
        equal(code, 0, "what the alarm's switch ended with");
    }

    private static void send(Channel channel, String queue, List<String> sent) throws Exception {
        for (int count = 0; count < 10; count++) {
            String body = String.valueOf(sent.size());
            channel.basicPublish("", queue, Message.PLAIN, body.getBytes(UTF_8));
            sent.add(body);
        }
    }

    /** Blocked within a second, alive beyond two heartbeats, then all that was sent meanwhile. */
    private static void blocked(Flow flow) throws Exception {
        ConnectionFactory factory = Flow.factory();
        factory.setRequestedHeartbeat(HEARTBEAT_S);
        Connection connection = flow.connect(factory);
        List<String> notices = new CopyOnWriteArrayList<>();
        connection.addBlockedListener(
                reason -> notices.add("blocked: " + reason), () -> notices.add("unblocked"));
        Channel channel = flow.channel(connection);
        String queue = flow.queue(channel, "queue");
        List<String> sent = new ArrayList<>();
        send(channel, queue, sent);
        channel.waitForConfirmsOrDie(WAIT_MS);
        Inbox inbox;
        alarm("on");
        try {
            long since = System.nanoTime();
            eventually(() -> !notices.isEmpty(), "no connection.blocked came");
            long tookMs = (System.nanoTime() - since) / 1_000_000;
            check(tookMs < BLOCKED_MS, "connection.blocked took " + tookMs + " ms");
            equal(notices, List.of("blocked: low on memory"), "notices");
            send(channel, queue, sent);
            inbox = new Inbox(flow.connect().createChannel(), queue, true);
            inbox.await(10);
            Thread.sleep(HEARTBEAT_S * 3_500 - tookMs);
            check(connection.isOpen(), "the blocked connection was closed");
            inbox.await(10);
        } finally {
            alarm("off");
        }
        eventually(() -> notices.size() > 1, "no connection.unblocked came");
        equal(notices.get(1), "unblocked", "notice");
        send(channel, queue, sent);
        channel.waitForConfirmsOrDie(WAIT_MS);
        inbox.await(30);
        equal(inbox.bodies(), sent, "all that was published");
    }
}
