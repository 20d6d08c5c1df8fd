/* Assertions about values, about effects that take a moment, and about the broker's closing. */
package interop;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.ShutdownSignalException;
import java.util.Objects;
import java.util.concurrent.Callable;

final class Check {
    static final int WAIT_MS = 10_000; // the longest any single wait takes

    interface Action {
        void run() throws Exception;
    }

    private Check() {}

    static void check(boolean condition, String message) {
        if (!condition) {
            throw new AssertionError(message);
        }
    }

    static void equal(Object actual, Object expected, String what) {
        check(Objects.equals(actual, expected),
                "%s: expected %s, got %s".formatted(what, expected, actual));
    }

    /** Polls until the condition holds: for effects that the protocol does not acknowledge. */
    static void eventually(Callable<Boolean> condition, String message) throws Exception {
        long started = System.nanoTime();
        while (!condition.call()) {
            check(System.nanoTime() - started < WAIT_MS * 1_000_000L, message);
            Thread.sleep(20);
        }
    }

    /** Asserts that the broker answers the action by closing the channel with this code. */
    static void closesChannel(int code, Action action) throws Exception {
        ShutdownSignalException closing = closing(action);
        check(!closing.isHardError(), "the channel should have been closed, not the connection");
        AMQP.Channel.Close reason = (AMQP.Channel.Close) closing.getReason();
        equal(reason.getReplyCode(), code, "reply code of the closing: " + reason.getReplyText());
    }

    /** Asserts that the broker answers the action by closing the connection with this code. */
    static void closesConnection(int code, Action action) throws Exception {
        ShutdownSignalException closing = closing(action);
        check(closing.isHardError(), "the connection should have been closed, not the channel");
        AMQP.Connection.Close reason = (AMQP.Connection.Close) closing.getReason();
        equal(reason.getReplyCode(), code, "reply code of the closing: " + reason.getReplyText());
    }

    private static ShutdownSignalException closing(Action action) throws Exception {
        try {
            action.run();
        } catch (Exception problem) {
            if (problem instanceof ShutdownSignalException closing) {
                return closing;
            }
            if (problem.getCause() instanceof ShutdownSignalException closing) {
                return closing;
            }
            throw problem;
        }
        throw new AssertionError("the broker should have closed the channel or the connection");
    }
}
