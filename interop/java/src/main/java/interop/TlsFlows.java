/* Flows over TLS: a server that is verified, a client's certificate, and who is refused. */
package interop;

import static interop.Check.check;
import static interop.Check.equal;
import static interop.Message.drain;
import static interop.Message.publish;

import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultSaslConfig;
import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509ExtendedKeyManager;

final class TlsFlows {
    private static final String URI = System.getenv("AMQPS_URL");
    private static final char[] PASSWORD = "interop".toCharArray(); // of the files with keys

    /** Only where there is a listener for TLS. */
    static final List<Main.Named> ALL = URI == null ? List.of() : List.of(
            new Main.Named("verified_server", TlsFlows::verifiedServer),
            new Main.Named("external", TlsFlows::external),
            new Main.Named("strangers", TlsFlows::strangers),
            new Main.Named("close_behind_publishes", TlsFlows::closeBehindPublishes));

    private TlsFlows() {}

    private static Path file(String name) {
        return Path.of(System.getenv("TLS_DIR"), name);
    }

    /** Trusts this authority only; shows the identity's certificate unless that is null. */
    private static ConnectionFactory factory(String authority, String identity) throws Exception {
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        try (InputStream certificate = Files.newInputStream(file(authority))) {
            trusted.setCertificateEntry("authority",
                    CertificateFactory.getInstance("X.509").generateCertificate(certificate));
        }
        TrustManagerFactory trust =
                TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(identity == null ? null : keys(identity), trust.getTrustManagers(), null);
        ConnectionFactory factory = Flow.factory();
        factory.setUri(URI);
        factory.useSslProtocol(context);
        factory.enableHostnameVerification();
        return factory;
    }

    private static KeyManager[] keys(String identity) throws Exception {
        KeyStore own = KeyStore.getInstance("PKCS12");
        try (InputStream stored = Files.newInputStream(file(identity + ".p12"))) {
            own.load(stored, PASSWORD);
        }
        KeyManagerFactory keys =
                KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(own, PASSWORD);
        return new KeyManager[] {new Insisting((X509ExtendedKeyManager) keys.getKeyManagers()[0])};
    }

    /** Shows its certificate whoever the server says may have signed it, as Java itself does not. */
    private static final class Insisting extends X509ExtendedKeyManager {
        private final X509ExtendedKeyManager own;

        Insisting(X509ExtendedKeyManager own) {
            this.own = own;
        }

        @Override
        public String chooseClientAlias(String[] types, Principal[] issuers, Socket socket) {
            return own.getClientAliases("RSA", null)[0];
        }

        @Override
        public String chooseEngineClientAlias(String[] types, Principal[] issuers, SSLEngine tls) {
            return own.getClientAliases("RSA", null)[0];
        }

        @Override
        public String[] getClientAliases(String type, Principal[] issuers) {
            return own.getClientAliases(type, null);
        }

        @Override
        public String[] getServerAliases(String type, Principal[] issuers) {
            return own.getServerAliases(type, issuers);
        }

        @Override
        public String chooseServerAlias(String type, Principal[] issuers, Socket socket) {
            return own.chooseServerAlias(type, issuers, socket);
        }

        @Override
        public X509Certificate[] getCertificateChain(String alias) {
            return own.getCertificateChain(alias);
        }

        @Override
        public PrivateKey getPrivateKey(String alias) {
            return own.getPrivateKey(alias);
        }
    }

    /** Publishes, is confirmed, and takes it all back: small messages and one of many records. */
    private static void exchangeMessages(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        channel.confirmSelect();
        String queue = channel.queueDeclare("", false, true, false, Map.of()).getQueue();
        List<String> expected = new ArrayList<>();
        for (int number = 0; number < 100; number++) {
            expected.add(String.valueOf(number));
        }
        expected.add("0123456789abcdef".repeat(1 << 16));
        for (String body : expected) {
            publish(channel, "", queue, body);
        }
        check(Message.bodies(drain(channel, queue)).equals(expected), "what came back differs");
    }

    /** A server whose certificate is verified; logged in by password. */
    private static void verifiedServer(Flow flow) throws Exception {
        exchangeMessages(flow.connect(factory("ca.pem", null)));
    }

    /** Logged in by a certificate alone. */
    private static void external(Flow flow) throws Exception {
        ConnectionFactory factory = factory("ca.pem", "client");
        factory.setSaslConfig(DefaultSaslConfig.EXTERNAL);
        exchangeMessages(flow.connect(factory));
    }

    /** The client refuses a server of another authority, the server such a client. */
    private static void strangers(Flow flow) throws Exception {
        int refused = 0;
        for (ConnectionFactory factory : List.of(
                factory("other-ca.pem", null), factory("ca.pem", "other-client"))) {
            try {
                factory.newConnection().close();
            } catch (IOException refusal) {
                refused++;
            }
        }
        equal(refused, 2, "refused connections");
    }

    /** A close right behind 10,000 publishes overtakes none of them, and is answered. */
    private static void closeBehindPublishes(Flow flow) throws Exception {
        Connection connection = factory("ca.pem", null).newConnection();
        Channel channel = connection.createChannel();
        Channel other = flow.channel();
        String queue = flow.queue(other, "queue");
        for (int number = 0; number < 10_000; number++) {
            channel.basicPublish("", queue, null, String.valueOf(number).getBytes());
        }
        connection.close(Check.WAIT_MS);
        equal(other.queueDeclarePassive(queue).getMessageCount(), 10_000, "messages");
    }
}
