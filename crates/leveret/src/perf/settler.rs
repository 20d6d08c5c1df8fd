//! The thread that reads what the broker sends to a producer: confirms, returns, and the reason
//! why it closes.

use std::sync::Arc;
use std::thread::Thread;

use hdrhistogram::Histogram;
use leveret_client::wire::amqp091::frame::Event;
use leveret_client::wire::amqp091::method::Method;
use leveret_client::{Closed, Error, Receiver};

use super::tally::{Latencies, Shared};
use super::window::Window;

/// The reading half of a publishing connection.
#[derive(Debug)]
pub(super) struct Settler {
    pub(super) receiver: Receiver,
    pub(super) window: Option<Arc<Window>>,
    pub(super) shared: Arc<Shared>,
    pub(super) latencies: Latencies,
}

impl Settler {
    /// Reads until the socket ends, waking `producer` when there is room for it.
    pub(super) fn run(mut self, producer: &Thread) -> anyhow::Result<Histogram<u64>> {
        loop {
            match self.receiver.read() {
                Ok(true) => {}
                Err(_) | Ok(false) if self.shared.is_stopping() => break,
                Ok(false) => return Err(Error::Disconnected.into()),
                Err(error) => return Err(error.into()),
            }
            let Settler { receiver, window, shared, latencies } = &mut self;
            let now = shared.clock.now();
            receiver.drain(|event| match event {
                Event::Method { channel, payload } => {
                    let method = Method::decode(payload)?;
                    on_method(channel, &method, window.as_deref(), shared, |stamp| {
                        latencies.record(now, stamp);
                    })
                }
                _ => Ok(()),
            })?;
            if let Some(window) = window
                && window.room() >= window.worthwhile()
            {
                producer.unpark();
            }
        }
        Ok(self.latencies.finish())
    }
}

fn on_method(
    channel: u16,
    method: &Method<'_>,
    window: Option<&Window>,
    shared: &Shared,
    record: impl FnMut(u64),
) -> Result<(), Error> {
    match (method, window) {
        (&Method::BasicAck { delivery_tag, multiple }, Some(window)) => {
            shared.confirmed.add(window.settle(delivery_tag, multiple, record));
        }
        (&Method::BasicNack { delivery_tag, multiple, .. }, Some(window)) => {
            shared.refused.add(window.settle(delivery_tag, multiple, |_| {}));
        }
        (Method::BasicReturn { .. }, _) => shared.returned.add(1),
        (method, _) => return Closed::of_method(channel, method).map_or(Ok(()), Err),
    }
    Ok(())
}
