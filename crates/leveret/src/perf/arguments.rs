//! The command line of `leveret perf`.

use clap::Args;
use leveret_client::wire::amqp091::table::{FieldTable, FieldValue};

/// What to send, what to receive, and for how long.
#[derive(Debug, Clone, Args)]
pub struct PerfArgs {
    /// Where the broker is.
    #[arg(long, default_value = "amqp://guest:guest@127.0.0.1:5672")]
    pub uri: String,

    /// Publishing connections.
    #[arg(long, default_value_t = 1)]
    pub producers: usize,

    /// Consuming connections.
    #[arg(long, default_value_t = 1)]
    pub consumers: usize,

    /// Queues; producers and consumers are spread over them.
    #[arg(long, default_value_t = 1)]
    pub queues: usize,

    /// Name of the queues; each gets a number behind it.
    #[arg(long, default_value = "leveret-perf")]
    pub queue: String,

    /// Argument of the queues, such as x-queue-type=quorum; numbers become numbers.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub queue_arg: Vec<(String, String)>,

    /// Body size in bytes; below 8 there is no latency.
    #[arg(long, default_value_t = 1024)]
    pub size: usize,

    /// Messages per second of each producer; as many as possible if not given.
    #[arg(long, value_parser = positive)]
    pub rate: Option<f64>,

    /// Seconds to run, the warm-up included; 10 if --messages is not given either.
    #[arg(long, value_parser = positive)]
    pub time: Option<f64>,

    /// Messages in all; the run ends when they have been sent, confirmed and received.
    #[arg(long)]
    pub messages: Option<u64>,

    /// Seconds at the start that do not count.
    #[arg(long, default_value_t = 0.0)]
    pub warmup: f64,

    /// Use publisher confirms, with at most this many messages of a producer unconfirmed.
    #[arg(long, value_name = "WINDOW", value_parser = clap::value_parser!(u32).range(1..))]
    pub confirm: Option<u32>,

    /// Consume without acknowledgements.
    #[arg(long)]
    pub auto_ack: bool,

    /// Prefetch count of each consumer; 0 is unlimited.
    #[arg(long, default_value_t = 0)]
    pub qos: u16,

    /// Acknowledge every so many deliveries, with multiple=true if more than one.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub multi_ack_every: u64,

    /// Publish with delivery mode 2.
    #[arg(long)]
    pub persistent: bool,

    /// Declare queues and exchange durable.
    #[arg(long)]
    pub durable: bool,

    /// Exchange to declare and publish to; the default exchange if not given.
    #[arg(long, default_value = "")]
    pub exchange: String,

    /// Type of the exchange.
    #[arg(long = "type", value_name = "TYPE", default_value = "direct")]
    pub exchange_type: String,

    /// Routing key of every message and binding; the queue's name if not given.
    #[arg(long)]
    pub routing_key: Option<String>,

    /// Set the mandatory flag.
    #[arg(long)]
    pub mandatory: bool,

    /// Seconds to wait for what is still under way when the producers are done.
    #[arg(long, default_value_t = 10.0)]
    pub drain: f64,

    /// Do not delete the queues and the exchange at the end.
    #[arg(long)]
    pub keep: bool,

    /// Bytes written at once when there is no rate.
    #[arg(long, default_value_t = 64 << 10)]
    pub write_bytes: usize,

    /// Bytes read at once.
    #[arg(long, default_value_t = 256 << 10)]
    pub read_bytes: usize,

    /// Do not print rates while running.
    #[arg(long)]
    pub quiet: bool,

    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}

impl PerfArgs {
    /// Seconds after which producers stop; none if only the number of messages counts.
    pub(super) fn seconds(&self) -> Option<f64> {
        self.time.or_else(|| self.messages.is_none().then_some(10.0))
    }

    /// The arguments to declare the queues with.
    pub(super) fn queue_arguments(&self) -> FieldTable {
        self.queue_arg.iter().map(|(key, value)| (key.as_str(), typed(value))).collect()
    }

    /// How many queues get each message.
    pub(super) fn copies(&self) -> u64 {
        let everywhere = !self.exchange.is_empty()
            && (self.exchange_type == "fanout" || self.routing_key.is_some());
        if everywhere { self.queues as u64 } else { 1 }
    }

    /// How often consumers acknowledge; never less often than the prefetch allows.
    pub(super) fn ack_every(&self) -> u64 {
        match self.qos {
            0 => self.multi_ack_every,
            qos => self.multi_ack_every.min(u64::from(qos)),
        }
    }
}

fn typed(value: &str) -> FieldValue {
    match (value, value.parse::<i64>()) {
        ("true", _) => true.into(),
        ("false", _) => false.into(),
        (_, Ok(number)) => number.into(),
        _ => value.into(),
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err("expected a number above 0".to_owned()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        perf: PerfArgs,
    }

    pub(crate) fn parse(line: &str) -> PerfArgs {
        Cli::try_parse_from(std::iter::once("perf").chain(line.split_whitespace())).unwrap().perf
    }

    #[test]
    fn time_has_a_default_only_without_a_number_of_messages() {
        assert_eq!(parse("").seconds(), Some(10.0));
        assert_eq!(parse("--messages 5").seconds(), None);
        assert_eq!(parse("--messages 5 --time 2").seconds(), Some(2.0));
    }

    #[test]
    fn queue_arguments_are_typed() {
        let arguments = parse("--queue-arg x-queue-type=quorum --queue-arg x-max-length=9");
        let table = arguments.queue_arguments();
        assert_eq!(table.get("x-queue-type"), Some(&"quorum".into()));
        assert_eq!(table.get("x-max-length"), Some(&FieldValue::I64(9)));
    }

    #[test]
    fn copies_and_acks_follow_from_the_rest() {
        assert_eq!(parse("--queues 3").copies(), 1);
        assert_eq!(parse("--queues 3 --exchange e --type fanout").copies(), 3);
        assert_eq!(parse("--queues 3 --exchange e --routing-key k").copies(), 3);
        assert_eq!(parse("--qos 5 --multi-ack-every 10").ack_every(), 5);
    }
}
