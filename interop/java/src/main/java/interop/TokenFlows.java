/* Flows with a bearer token as the password: what it allows, its end, and its renewal. */
package interop;

import static interop.Check.check;
import static interop.Check.closesChannel;
import static interop.Check.equal;
import static interop.Check.eventually;
import static interop.Message.drain;
import static interop.Message.publish;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AuthenticationFailureException;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.impl.CredentialsProvider;
import com.rabbitmq.client.impl.DefaultCredentialsRefreshService;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.Signature;
import java.security.spec.PKCS8EncodedKeySpec;
import java.time.Duration;
import java.util.Base64;
import java.util.List;

final class TokenFlows {
    private static final String KEY = System.getenv("TOKEN_KEY");
    private static final String SCOPES =
            "leveret.configure:*/* leveret.write:*/* leveret.read:*/*";

    /** Only where there is the key that signs tokens. */
    static final List<Main.Named> ALL = KEY == null ? List.of() : List.of(
            new Main.Named("token_login", TokenFlows::login),
            new Main.Named("token_scopes", TokenFlows::scopes),
            new Main.Named("token_expiry", TokenFlows::expiry));

    private TokenFlows() {}

    /** The key in its file: PKCS #8, or PKCS #1, which Java does not read, in the other's clothes. */
    private static PrivateKey key() throws Exception {
        String pem = Files.readString(Path.of(KEY));
        byte[] der = Base64.getMimeDecoder().decode(pem.replaceAll("-----[^-]*-----", ""));
        byte[] pkcs8 = pem.contains("BEGIN RSA PRIVATE KEY") ? pkcs8(der) : der;
        return KeyFactory.getInstance("RSA").generatePrivate(new PKCS8EncodedKeySpec(pkcs8));
    }

    private static byte[] pkcs8(byte[] pkcs1) {
        byte[] algorithm = {0x30, 0x0d, 0x06, 0x09, 0x2a, (byte) 0x86, 0x48, (byte) 0x86,
            (byte) 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
        byte[] version = {0x02, 0x01, 0x00};
        ByteArrayOutputStream content = new ByteArrayOutputStream();
        content.writeBytes(version);
        content.writeBytes(algorithm);
        content.writeBytes(tagged(0x04, pkcs1));
        return tagged(0x30, content.toByteArray());
    }

    private static byte[] tagged(int tag, byte[] content) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        all.write(tag);
        all.write(0x82);
        all.write(content.length >> 8);
        all.write(content.length);
        all.writeBytes(content);
        return all.toByteArray();
    }

    private static String encoded(byte[] bytes) {
        return Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
    }

    private static String token(int lifetimeS, String scopes) throws Exception {
        long end = System.currentTimeMillis() / 1000 + lifetimeS;
        String header = "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"interop\"}";
        String claims = "{\"sub\":\"hare\",\"aud\":\"leveret\",\"scope\":\"%s\",\"exp\":%d}"
                .formatted(scopes, end);
        String message = encoded(header.getBytes(StandardCharsets.UTF_8)) + "."
                + encoded(claims.getBytes(StandardCharsets.UTF_8));
        Signature signature = Signature.getInstance("SHA256withRSA");
        signature.initSign(key());
        signature.update(message.getBytes(StandardCharsets.UTF_8));
        return message + "." + encoded(signature.sign());
    }

    private static ConnectionFactory factory(String secret) throws Exception {
        ConnectionFactory factory = Flow.factory();
        factory.setUsername("");
        factory.setPassword(secret);
        return factory;
    }

    /** A good token opens a connection, one that has expired or is somebody else's does not. */
    private static void login(Flow flow) throws Exception {
        String good = token(60, SCOPES);
        Channel channel = flow.channel(flow.connect(factory(good)));
        String queue = flow.queue(channel, "queue");
        publish(channel, "", queue, "by token");
        equal(Message.bodies(drain(channel, queue)), List.of("by token"), "what came back");
        String forged = good.substring(0, good.length() - 8) + "AAAAAAAA";
        for (String bad : List.of(token(-1, SCOPES), forged)) {
            try {
                factory(bad).newConnection().close();
            } catch (AuthenticationFailureException refusal) {
                continue;
            }
            throw new AssertionError("a bad token was not refused");
        }
    }

    /** What no scope allows closes the channel with 403. */
    private static void scopes(Flow flow) throws Exception {
        Connection connection = flow.connect(factory(token(60, "leveret.configure:*/mine.*")));
        Channel channel = connection.createChannel();
        channel.queueDeclare("mine." + flow.unique("queue"), false, true, true, null);
        closesChannel(AMQP.ACCESS_REFUSED,
                () -> channel.queueDeclare("yours.interop", false, true, true, null));
        AMQP.Channel.Close reason = (AMQP.Channel.Close) channel.getCloseReason().getReason();
        check(reason.getReplyText().contains("refused for user 'hare'"), reason.getReplyText());
    }

    /** Tokens of two seconds, renewed when they are half used. */
    private static final class Renewing implements CredentialsProvider {
        private String secret;
        private long endNs;

        Renewing() {
            refresh();
        }

        @Override
        public String getUsername() {
            return "";
        }

        @Override
        public synchronized String getPassword() {
            return secret;
        }

        @Override
        public synchronized Duration getTimeBeforeExpiration() {
            return Duration.ofNanos(endNs - System.nanoTime());
        }

        @Override
        public synchronized void refresh() {
            try {
                secret = token(3, SCOPES);
            } catch (Exception problem) {
                throw new IllegalStateException(problem);
            }
            endNs = System.nanoTime() + Duration.ofSeconds(2).toNanos();
        }
    }

    /** A token that ends closes its connection; one that is renewed in time lives on. */
    private static void expiry(Flow flow) throws Exception {
        ConnectionFactory renewing = Flow.factory();
        DefaultCredentialsRefreshService service =
                new DefaultCredentialsRefreshService.DefaultCredentialsRefreshServiceBuilder()
                        .refreshDelayStrategy(
                                DefaultCredentialsRefreshService.ratioRefreshDelayStrategy(0.5))
                        .build();
        renewing.setCredentialsProvider(new Renewing());
        renewing.setCredentialsRefreshService(service);
        try {
            Connection renewed = flow.connect(renewing);
            Connection ends = flow.connect(factory(token(3, SCOPES)));
            eventually(() -> !ends.isOpen(), "the connection was not closed");
            AMQP.Connection.Close reason =
                    (AMQP.Connection.Close) ends.getCloseReason().getReason();
            equal(reason.getReplyCode(), AMQP.CONNECTION_FORCED, "the reply code");
            equal(reason.getReplyText(), "CONNECTION_FORCED - credential expired", "the close");
            Thread.sleep(1_000);
            flow.queue(renewed.createChannel(), "renewed");
        } finally {
            service.close();
        }
    }
}
