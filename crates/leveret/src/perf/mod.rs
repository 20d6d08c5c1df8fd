//! `leveret perf`: a load generator for any broker that speaks AMQP 0-9-1.
//!
//! In the spirit of RabbitMQ's PerfTest, but cheap, so that on a small machine the broker and not
//! the generator is measured: frames are built once and only their time stamps patched, many are
//! written at once, and what is read is counted without being copied. With `--rate` a message is
//! stamped with the time at which it was due, so that a generator held up by the broker does not
//! hide the broker's latency (coordinated omission).
//!
//! `arguments` says what can be asked for, `topology` makes connections and queues, `producer`,
//! `settler` and `consumer` are the work of the threads in `threads`, `batch` the prebuilt frames,
//! `tally` what is counted, `watch` the measured interval, `run` the whole, `report` what is
//! printed.

mod arguments;
mod batch;
mod clock;
mod consumer;
mod producer;
mod report;
mod run;
mod settler;
mod tally;
mod threads;
mod topology;
mod watch;
mod window;

pub use arguments::PerfArgs;
pub use run::run;
