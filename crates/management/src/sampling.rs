//! Taking samples at regular times.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use leveret_broker::ids::ConnectionId;

use crate::app::App;
use crate::node::Connection;
use crate::rates::{Depth, INTERVAL_MS, Ranges, Source, Thing, values};
use crate::resources::{connection_numbers, message_numbers, totals, vhost_numbers};

/// Samples until the future is dropped.
pub(crate) async fn sample(app: Arc<App>) {
    let mut interval = tokio::time::interval(Duration::from_millis(INTERVAL_MS));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Totals are watched from the start, looked at or not.
    let of = (Thing::Totals, Source::Others, Depth::Totals);
    app.rates.numbers(of, &totals(&app), &Ranges::default(), app.node.now());
    loop {
        interval.tick().await;
        let app = Arc::clone(&app);
        // Many queues take a while to go through.
        if tokio::task::spawn_blocking(move || once(&app)).await.is_err() {
            tracing::error!("samples for rates could not be taken");
        }
    }
}

fn once(app: &App) {
    let mut connections: HashMap<ConnectionId, Connection> = HashMap::new();
    if app.rates.wants_connections() {
        connections = app.node.connections().into_iter().map(|one| (one.id, one)).collect();
    }
    let (counts, topology) = (app.node.counts(), app.broker().topology().clone());
    app.rates.sample(app.node.now(), |thing| match thing {
        Thing::Totals => Some(values(&totals(app))),
        Thing::Vhost(name) => {
            let counts = counts.1.get(name).copied().unwrap_or_default();
            let vhost = topology.vhosts.get(name)?;
            Some(values(&vhost_numbers(vhost, &counts)))
        }
        Thing::Connection(id) => connections.get(id).map(|one| values(&connection_numbers(one))),
        Thing::Channel(id, number) => {
            let channels = &connections.get(id)?.channels;
            let channel = channels.iter().find(|one| one.number == *number)?;
            Some(values(&message_numbers(&channel.counts)))
        }
        // These have sources of their own.
        Thing::Queue(_) | Thing::Exchange(..) => None,
    });
}
