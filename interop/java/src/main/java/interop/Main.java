/* The interop flows with the Java client. Usage: AMQP_URL=… java -jar interop.jar [flow …] */
package interop;

import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;

final class Main {
    private static final int FLOW_S = 60; // the longest a whole flow takes, whatever it is stuck in

    /** What a flow does; it fails by throwing anything at all. */
    interface Body {
        void run(Flow flow) throws Exception;
    }

    record Named(String name, Body body) {}

    private Main() {}

    public static void main(String[] arguments) {
        List<String> wanted = List.of(arguments);
        List<Boolean> outcomes = Stream
                .of(DeliveryFlows.ALL, RoutingFlows.ALL, ReliabilityFlows.ALL, TlsFlows.ALL,
                        AccessFlows.ALL, TokenFlows.ALL, BlockedFlows.ALL)
                .flatMap(List::stream)
                .filter(flow -> wanted.isEmpty() || wanted.contains(flow.name()))
                .map(Main::passes)
                .toList();
        System.exit(outcomes.isEmpty() || outcomes.contains(false) ? 1 : 0);
    }

    private static boolean passes(Named named) {
        Flow flow = new Flow(named.name());
        long started = System.nanoTime();
        String problem = problemOf(() -> named.body().run(flow));
        String untidy = problemOf(flow::close);
        if (untidy != null) {
            problem = problem == null ? untidy : problem + "; then " + untidy;
        }
        long tookMs = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - started);
        System.out.println(problem == null
                ? "ok %s %d ms".formatted(named.name(), tookMs)
                : "FAIL %s %d ms %s".formatted(named.name(), tookMs, problem.replace('\n', ' ')));
        return problem == null;
    }

    /** Runs an action in a thread of its own, and gives what it threw. */
    private static String problemOf(Check.Action action) {
        CompletableFuture<Void> outcome = new CompletableFuture<>();
        Thread thread = new Thread(() -> {
            try {
                action.run();
                outcome.complete(null);
            } catch (Throwable problem) {
                outcome.completeExceptionally(problem);
            }
        });
        thread.setDaemon(true);
        thread.start();
        try {
            outcome.get(FLOW_S, TimeUnit.SECONDS);
            return null;
        } catch (ExecutionException problem) {
            Throwable cause = problem.getCause();
            return cause.getCause() == null ? cause.toString() : cause + ": " + cause.getCause();
        } catch (TimeoutException | InterruptedException problem) {
            thread.interrupt();
            return "took longer than " + FLOW_S + " s";
        }
    }
}
