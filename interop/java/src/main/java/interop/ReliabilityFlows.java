/* Flows about promises: requests answered, confirms, transactions, errors, ownership. */
package interop;

import static interop.Check.WAIT_MS;
import static interop.Check.check;
import static interop.Check.closesChannel;
import static interop.Check.closesConnection;
import static interop.Check.equal;
import static interop.Check.eventually;
import static interop.Message.bodies;
import static interop.Message.drain;
import static interop.Message.exists;
import static interop.Message.publish;
import static interop.Message.publishMandatory;
import static interop.Message.ready;
import static java.nio.charset.StandardCharsets.UTF_8;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AMQP.BasicProperties;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Recoverable;
import com.rabbitmq.client.RecoveryListener;
import com.rabbitmq.client.Return;
import java.util.ArrayList;
import java.util.List;
import java.util.NavigableSet;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.LongStream;

final class ReliabilityFlows {
    static final List<Main.Named> ALL = List.of(
            new Main.Named("rpc", ReliabilityFlows::rpc),
            new Main.Named("confirms_returns", ReliabilityFlows::confirmsReturns),
            new Main.Named("transactions", ReliabilityFlows::transactions),
            new Main.Named("reconnect_after_forced_close",
                    ReliabilityFlows::reconnectAfterForcedClose),
            new Main.Named("exclusive_and_auto_delete", ReliabilityFlows::exclusiveAndAutoDelete));

    private static final String REPLY_TO = "amq.rabbitmq.reply-to";

    private ReliabilityFlows() {}

    /** Direct reply-to: answers come without a reply queue, matched by correlation id. */
    private static void rpc(Flow flow) throws Exception {
        Channel server = flow.connect().createChannel();
        String queue = flow.queue(server, "squares");
        Inbox requests = new Inbox(server, queue, false);
        Channel client = flow.connect().createChannel();
        Inbox answers = new Inbox(client, REPLY_TO, true);
        for (String number : List.of("3", "4", "5")) {
            BasicProperties request = new BasicProperties.Builder()
                    .replyTo(REPLY_TO).correlationId("id-" + number).build();
            client.basicPublish("", queue, request, number.getBytes(UTF_8));
        }
        for (Message request : requests.await(3)) {
            String address = request.properties().getReplyTo();
            check(address.startsWith(REPLY_TO + "."), "reply address: " + address);
            int number = Integer.parseInt(request.body());
            BasicProperties reply = new BasicProperties.Builder()
                    .correlationId(request.properties().getCorrelationId()).build();
            byte[] square = String.valueOf(number * number).getBytes(UTF_8);
            server.basicPublish("", address, reply, square);
            server.basicAck(request.tag(), false);
        }
        List<String> got = answers.await(3).stream()
                .map(answer -> answer.properties().getCorrelationId() + ": " + answer.body())
                .toList();
        equal(got, List.of("id-3: 9", "id-4: 16", "id-5: 25"), "answers");
    }

    /** What the broker sends a publisher: a confirm, which may be for several, or a return. */
    private record Notice(long tag, boolean multiple, Return returned) {}

    /** Every publish is confirmed once; an unroutable mandatory one is returned before that. */
    private static void confirmsReturns(Flow flow) throws Exception {
        int count = 100;
        Channel channel = flow.channel();
        String queue = flow.queue(channel, "queue");
        BlockingQueue<Notice> notices = new LinkedBlockingQueue<>();
        channel.addReturnListener(returned -> notices.add(new Notice(0, false, returned)));
        channel.addConfirmListener(
                (tag, multiple) -> notices.add(new Notice(tag, multiple, null)),
                (tag, multiple) -> notices.add(new Notice(-tag, multiple, null)));
        for (int number = 0; number < count; number++) {
            channel.basicPublish("", queue, Message.PLAIN, String.valueOf(number).getBytes(UTF_8));
        }
        channel.basicPublish("amq.direct", "nowhere", true, Message.PLAIN, new byte[0]);

        NavigableSet<Long> open = new TreeSet<>();
        LongStream.rangeClosed(1, count + 1).forEach(open::add);
        List<String> returns = new ArrayList<>();
        while (!open.isEmpty()) {
            Notice notice = notices.poll(WAIT_MS, TimeUnit.MILLISECONDS);
            check(notice != null, "confirms are missing: " + open);
            check(notice.tag() >= 0, "a publish was refused: " + -notice.tag());
            Return returned = notice.returned();
            if (returned != null) {
                check(open.contains(count + 1L), "the return must come before its confirm");
                returns.add(returned.getReplyCode() + " " + returned.getRoutingKey());
            } else { // in any order; for several, it is for all up to the tag that are still open
                long first = notice.multiple() ? 1 : notice.tag();
                Set<Long> confirmed = open.subSet(first, true, notice.tag(), true);
                check(!confirmed.isEmpty(), "confirmed again: " + notice.tag());
                confirmed.clear();
            }
        }
        equal(returns, List.of("312 nowhere"), "returns");
        equal(ready(channel, queue), count, "messages in the queue");
        check(notices.isEmpty(), "further confirms and returns");

        List<String> texts = publishMandatory(channel, "", flow.unique("missing"), "").stream()
                .map(Return::getReplyText).toList();
        equal(texts, List.of("NO_ROUTE"), "returns of publishing to a missing queue");
    }

    /** Publishes and acks take effect at commit, and not at all after a rollback. */
    private static void transactions(Flow flow) throws Exception {
        Connection connection = flow.connect();
        Channel watch = connection.createChannel();
        String queue = flow.queue(watch, "queue");
        Channel channel = connection.createChannel();
        channel.txSelect();
        channel.basicPublish("", queue, Message.PLAIN, "1".getBytes(UTF_8));
        channel.basicPublish("", queue, Message.PLAIN, "2".getBytes(UTF_8));
        equal(ready(watch, queue), 0, "messages before commit");
        channel.txCommit();
        equal(ready(watch, queue), 2, "messages after commit");
        channel.basicPublish("", queue, Message.PLAIN, "3".getBytes(UTF_8));
        channel.txRollback();
        channel.txCommit();
        equal(ready(watch, queue), 2, "messages after rollback");

        Message first = Message.get(channel, queue, false);
        equal(first.body(), "1", "first message");
        channel.basicAck(first.tag(), false);
        channel.txRollback();
        channel.basicAck(first.tag(), false); // allowed: the first ack never happened
        channel.txCommit();
        Message second = Message.get(channel, queue, false);
        equal(second.body(), "2", "second message");
        channel.basicAck(second.tag(), false);
        channel.close(); // without commit: the message returns
        Message returned = Message.get(watch, queue, true);
        equal(returned.body(), "2", "message whose ack was not committed");
        check(returned.redelivered(), "redelivered flag of that message");
        equal(drain(watch, queue), List.of(), "messages left");
    }

    /** A channel error costs the channel, a connection error the connection; both can go on. */
    private static void reconnectAfterForcedClose(Flow flow) throws Exception {
        Connection connection = flow.connect();
        Channel failing = flow.channel(connection);
        String queue = flow.queue(failing, "queue", Flow.Trait.DURABLE);
        closesChannel(AMQP.NOT_FOUND, () -> publish(failing, flow.unique("missing"), "", ""));
        check(connection.isOpen(), "a channel error must leave the connection open");
        Channel second = flow.channel(connection);
        publish(second, "", queue, "kept");

        closesConnection(AMQP.NOT_IMPLEMENTED, () -> second.basicQos(10, 0, false));
        check(!connection.isOpen(), "the connection must be closed");

        Channel channel = flow.channel();
        publish(channel, "", queue, "new");
        Inbox inbox = new Inbox(channel, queue, true);
        equal(bodies(inbox.await(2)), List.of("kept", "new"), "messages after reconnecting");
        recoverAfterCut(flow);
    }

    /** The client's automatic recovery: all it had declared and consumed is there again. */
    private static void recoverAfterCut(Flow flow) throws Exception {
        ConnectionFactory factory = Flow.factory();
        try (Proxy proxy = new Proxy(factory.getHost(), factory.getPort())) {
            factory.setHost("127.0.0.1");
            factory.setPort(proxy.port());
            factory.setAutomaticRecoveryEnabled(true);
            factory.setNetworkRecoveryInterval(500);
            Connection connection = flow.connect(factory);
            Channel channel = flow.channel(connection);
            String durable = flow.queue(channel, "durable", Flow.Trait.DURABLE);
            String own = flow.queue(channel, "own", Flow.Trait.EXCLUSIVE);
            channel.queueBind(own, flow.exchange(channel, "exchange", "direct"), "key");
            Inbox unacknowledging = new Inbox(channel, durable, false);
            Inbox owner = new Inbox(channel, own, true);
            publish(channel, "", durable, "unacknowledged");
            unacknowledging.await(1);

            CountDownLatch recovered = new CountDownLatch(1);
            ((Recoverable) connection).addRecoveryListener(new RecoveryListener() {
                @Override
                public void handleRecovery(Recoverable recoverable) {
                    recovered.countDown();
                }

                @Override
                public void handleRecoveryStarted(Recoverable recoverable) {}
            });
            proxy.cut();
            check(recovered.await(WAIT_MS, TimeUnit.MILLISECONDS),
                    "the connection did not recover");
            List<Message> twice = unacknowledging.await(2);
            equal(bodies(twice), List.of("unacknowledged", "unacknowledged"), "deliveries");
            equal(Message.redelivered(twice), List.of(false, true), "redelivered flags");
            publish(channel, flow.unique("exchange"), "key", "after");
            equal(bodies(owner.await(1)), List.of("after"),
                    "deliveries through what was recovered");
            connection.close(WAIT_MS);
        }
    }

    /** An exclusive queue is its connection's own; auto-delete goes with the last user. */
    private static void exclusiveAndAutoDelete(Flow flow) throws Exception {
        Connection owner = flow.connect();
        Connection other = flow.connect();
        String mine = flow.queue(owner.createChannel(), "private", Flow.Trait.EXCLUSIVE);
        closesChannel(AMQP.RESOURCE_LOCKED, () -> other.createChannel().queueDeclarePassive(mine));
        closesChannel(AMQP.RESOURCE_LOCKED, () -> new Inbox(other.createChannel(), mine, false));
        owner.close(WAIT_MS);
        eventually(() -> !exists(other, passive -> passive.queueDeclarePassive(mine)),
                "the exclusive queue outlived its connection");

        Channel channel = flow.channel(other);
        String queue = flow.queue(channel, "fleeting", Flow.Trait.AUTO_DELETE);
        Inbox first = new Inbox(channel, queue, false);
        Inbox second = new Inbox(channel, queue, false);
        channel.basicCancel(first.tag);
        check(exists(other, passive -> passive.queueDeclarePassive(queue)), "one consumer is left");
        channel.basicCancel(second.tag);
        check(!exists(other, passive -> passive.queueDeclarePassive(queue)),
                "the auto-delete queue outlived its last consumer");

        String exchange = flow.exchange(channel, "passing", "fanout", Flow.Trait.AUTO_DELETE);
        String bound = flow.queue(channel, "bound");
        channel.queueBind(bound, exchange, "");
        check(exists(other, passive -> passive.exchangeDeclarePassive(exchange)),
                "exchange is bound");
        channel.queueUnbind(bound, exchange, "");
        check(!exists(other, passive -> passive.exchangeDeclarePassive(exchange)),
                "the auto-delete exchange outlived its last binding");
    }
}
