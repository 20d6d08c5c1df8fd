/* Flows about where a message goes: exchange types, bindings between exchanges, alternates. */
package interop;

import static interop.Check.equal;
import static interop.Message.bodies;
import static interop.Message.drain;
import static interop.Message.keys;
import static interop.Message.publish;
import static interop.Message.publishMandatory;
import static java.nio.charset.StandardCharsets.UTF_8;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AMQP.BasicProperties;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.LongString;
import com.rabbitmq.client.Return;
import java.math.BigDecimal;
import java.time.Instant;
import java.util.Arrays;
import java.util.Date;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;

final class RoutingFlows {
    static final List<Main.Named> ALL = List.of(
            new Main.Named("publish_subscribe", RoutingFlows::publishSubscribe),
            new Main.Named("routing", RoutingFlows::routing),
            new Main.Named("topics", RoutingFlows::topics),
            new Main.Named("headers", RoutingFlows::headers),
            new Main.Named("exchange_to_exchange", RoutingFlows::exchangeToExchange),
            new Main.Named("alternate_exchange", RoutingFlows::alternateExchange));

    private RoutingFlows() {}

    /** fanout: each subscriber's own queue gets every message, until it is unbound. */
    private static void publishSubscribe(Flow flow) throws Exception {
        Channel channel = flow.channel();
        String news = flow.exchange(channel, "news", "fanout");
        String left = channel.queueDeclare().getQueue();
        String kept = channel.queueDeclare().getQueue();
        channel.queueBind(left, news, "");
        channel.queueBind(kept, news, "");
        Inbox leaving = new Inbox(channel, left, true);
        Inbox staying = new Inbox(channel, kept, true);
        publish(channel, news, "ignored", "first");
        for (Inbox reader : List.of(leaving, staying)) {
            equal(bodies(reader.await(1)), List.of("first"), "body for every subscriber");
        }
        channel.queueUnbind(left, news, "");
        publish(channel, news, "", "second");
        staying.await(2);
        equal(leaving.bodies(), List.of("first"), "what the unbound subscriber has");
    }

    /** direct: the routing key must equal the binding key; several keys may lead to one queue. */
    private static void routing(Flow flow) throws Exception {
        Channel channel = flow.channel();
        String logs = flow.exchange(channel, "logs", "direct", Flow.Trait.DURABLE);
        String errors = flow.queue(channel, "errors");
        String everything = flow.queue(channel, "everything");
        channel.queueBind(errors, logs, "error");
        for (String severity : List.of("info", "warning", "error")) {
            channel.queueBind(everything, logs, severity);
        }
        for (String severity : List.of("info", "error", "debug", "warning", "error")) {
            publish(channel, logs, severity, severity.toUpperCase());
        }
        expect(channel, errors, List.of("error", "error"), List.of("ERROR", "ERROR"));
        expect(channel, everything, List.of("info", "error", "warning", "error"),
                List.of("INFO", "ERROR", "WARNING", "ERROR"));
    }

    private static void expect(Channel channel, String queue, List<String> keys,
            List<String> bodies) throws Exception {
        List<Message> messages = drain(channel, queue);
        equal(keys(messages), keys, "keys of the messages in " + queue);
        equal(bodies(messages), bodies, "messages in " + queue);
    }

    /** topic: `*` is one word, `#` any number of them, and two matching bindings make one copy. */
    private static void topics(Flow flow) throws Exception {
        Channel channel = flow.channel();
        String animals = flow.exchange(channel, "animals", "topic");
        List<String> sent = List.of("quick.orange.rabbit", "lazy.orange.elephant",
                "quick.orange.fox", "lazy.pink.rabbit", "quick.brown.fox", "orange",
                "quick.orange.new.rabbit", "lazy", "quick.fox", "");
        Map<List<String>, List<String>> expected = Map.of(
                List.of("*.orange.*"), sent.subList(0, 3),
                List.of("*.*.rabbit", "lazy.#"),
                List.of(sent.get(0), sent.get(1), sent.get(3), "lazy"),
                List.of("#"), sent,
                List.of("quick.#.fox"),
                List.of("quick.orange.fox", "quick.brown.fox", "quick.fox"));
        Map<List<String>, String> queues = new HashMap<>();
        for (List<String> patterns : expected.keySet()) {
            String queue = flow.queue(channel, String.valueOf(queues.size()));
            queues.put(patterns, queue);
            for (String pattern : patterns) {
                channel.queueBind(queue, animals, pattern);
            }
        }
        for (String key : sent) {
            publish(channel, animals, key, "");
        }
        for (List<String> patterns : queues.keySet()) {
            equal(keys(drain(channel, queues.get(patterns))), expected.get(patterns),
                    "keys matching " + patterns);
        }
    }

    /** Every field type that RabbitMQ documents and this client writes. */
    private static Map<String, Object> fields() {
        Map<String, Object> fields = new HashMap<>();
        fields.put("boolean", true);
        fields.put("byte", (byte) -7);
        fields.put("short", (short) -700);
        fields.put("int", -70_000);
        fields.put("long", (1L << 40) + 1);
        fields.put("float", 0.5f);
        fields.put("double", -1.25e100);
        fields.put("decimal", new BigDecimal("3.14"));
        fields.put("timestamp", Date.from(Instant.parse("2026-01-02T03:04:05Z")));
        fields.put("text", "Häschen 🐇");
        fields.put("bytes", new byte[] {0, -1, -128});
        fields.put("void", null);
        fields.put("array", Arrays.asList(1, "two", false, null, List.of(new byte[] {0}),
                Map.of("deep", 3)));
        fields.put("table", Map.of("inner", Map.of("key", "value"), "empty", Map.of(),
                "nothing", List.of()));
        return fields;
    }

    /** The same field in types that compare by value. */
    private static Object comparable(Object field) {
        if (field instanceof LongString text) {
            return text.toString();
        } else if (field instanceof byte[] bytes) {
            return "0x" + HexFormat.of().formatHex(bytes);
        } else if (field instanceof List<?> list) {
            return list.stream().map(RoutingFlows::comparable).toList();
        } else if (field instanceof Map<?, ?> map) {
            Map<Object, Object> entries = new HashMap<>();
            map.forEach((key, value) -> entries.put(key, comparable(value)));
            return entries;
        }
        return field;
    }

    /** headers: x-match all and any; and every field type and property arrives as it was sent. */
    private static void headers(Flow flow) throws Exception {
        Channel channel = flow.channel();
        String papers = flow.exchange(channel, "papers", "headers");
        String both = flow.queue(channel, "both");
        String either = flow.queue(channel, "either");
        Map<String, String> matches = Map.of(both, "all", either, "any");
        for (String queue : matches.keySet()) {
            channel.queueBind(queue, papers, "",
                    Map.of("x-match", matches.get(queue), "format", "pdf", "pages", 7));
        }
        List<Map<String, Object>> samples = List.of(Map.of("format", "pdf", "pages", 7),
                Map.of("format", "pdf", "pages", 7, "more", 1), Map.of("format", "pdf"),
                Map.of("format", "zip", "pages", 7), Map.of("format", "zip"), Map.of());
        for (int number = 0; number < samples.size(); number++) {
            BasicProperties properties =
                    new BasicProperties.Builder().headers(samples.get(number)).build();
            publish(channel, papers, "", properties, String.valueOf(number).getBytes(UTF_8));
        }
        equal(bodies(drain(channel, both)), List.of("0", "1"), "matched by all");
        equal(bodies(drain(channel, either)), List.of("0", "1", "2", "3"), "matched by any");

        BasicProperties sent = new BasicProperties("text/plain", "utf-8", null, 1, 3, "c-1",
                "somewhere", "60000", "m-1", Date.from(Instant.ofEpochSecond(1_767_323_045)),
                "sample", Flow.factory().getUsername(), "interop", null);
        Map<String, Object> fields = fields();
        publish(channel, "", both, sent.builder().headers(fields).build(), new byte[0]);
        BasicProperties got = Message.get(channel, both, true).properties();
        for (String key : fields.keySet()) {
            equal(comparable(got.getHeaders().get(key)), comparable(fields.get(key)),
                    "header " + key);
        }
        equal(got.getHeaders().keySet(), fields.keySet(), "names of the headers");
        equal(got.builder().headers(null).build(), sent, "properties");
    }

    /** Exchanges bound to exchanges: chained patterns, one copy for two ways, and unbinding. */
    private static void exchangeToExchange(Flow flow) throws Exception {
        Channel channel = flow.channel();
        String source = flow.exchange(channel, "source", "topic");
        String relay = flow.exchange(channel, "relay", "fanout");
        String queue = flow.queue(channel, "queue");
        channel.exchangeBind(relay, source, "orders.#");
        channel.queueBind(queue, relay, "");
        channel.queueBind(queue, source, "*.paid");
        for (String key : List.of("orders.new", "orders.paid", "parcels.sent")) {
            publish(channel, source, key, "");
        }
        equal(keys(drain(channel, queue)), List.of("orders.new", "orders.paid"), "keys by relay");
        channel.exchangeUnbind(relay, source, "orders.#");
        publish(channel, source, "orders.new", "");
        equal(drain(channel, queue), List.of(), "messages after unbinding the exchanges");
    }

    /** What no binding takes goes to the alternate exchange, and is then not returned. */
    private static void alternateExchange(Flow flow) throws Exception {
        Channel channel = flow.channel();
        String rest = flow.exchange(channel, "rest", "fanout");
        String main = flow.exchange(channel, "main", "direct", Map.of("alternate-exchange", rest));
        String known = flow.queue(channel, "known");
        String unknown = flow.queue(channel, "unknown");
        channel.queueBind(known, main, "known");
        channel.queueBind(unknown, rest, "");
        equal(publishMandatory(channel, main, "known", "1"), List.of(),
                "returns of a routed message");
        equal(publishMandatory(channel, main, "other", "2"), List.of(),
                "returns with an alternate");
        expect(channel, known, List.of("known"), List.of("1"));
        expect(channel, unknown, List.of("other"), List.of("2"));
        channel.queueUnbind(unknown, rest, "");
        List<Integer> codes = publishMandatory(channel, main, "other", "3").stream()
                .map(Return::getReplyCode).toList();
        equal(codes, List.of(AMQP.NO_ROUTE), "returns of what the alternate cannot route either");
    }
}
