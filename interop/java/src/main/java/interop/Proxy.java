/* A TCP proxy on a free local port whose connections can be cut without a word of AMQP. */
package interop;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

final class Proxy implements AutoCloseable {
    private final ServerSocket listener;
    private final String host;
    private final int port;
    private final List<Socket> sockets = new CopyOnWriteArrayList<>();

    Proxy(String host, int port) throws IOException {
        this.host = host;
        this.port = port;
        listener = new ServerSocket(0, 16, InetAddress.getLoopbackAddress());
        start(this::acceptAll);
    }

    int port() {
        return listener.getLocalPort();
    }

    /** Ends every connection on both sides; new ones are still taken. */
    void cut() throws IOException {
        for (Socket socket : sockets) {
            socket.close();
        }
        sockets.clear();
    }

    @Override
    public void close() throws IOException {
        listener.close();
        cut();
    }

    private void acceptAll() throws IOException {
        while (true) {
            Socket client = listener.accept();
            sockets.add(client);
            Socket broker = new Socket(host, port);
            sockets.add(broker);
            start(() -> pump(client, broker));
            start(() -> pump(broker, client));
        }
    }

    private static void pump(Socket from, Socket to) throws IOException {
        try (from; to) {
            from.getInputStream().transferTo(to.getOutputStream());
        }
    }

    private interface Work {
        void run() throws IOException;
    }

    private static void start(Work work) {
        Thread thread = new Thread(() -> {
            try {
                work.run();
            } catch (IOException closed) {
                // a socket was closed, which ends this thread's work
            }
        });
        thread.setDaemon(true);
        thread.start();
    }
}
