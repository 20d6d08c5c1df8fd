//! A small AMQP 0-9-1 client on wire, for perf, shovel and tests.
