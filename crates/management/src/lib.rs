//! The HTTP interface: RabbitMQ's management API, our own beside it, and the web pages; and metrics
//! for Prometheus, on a port of their own ([`metrics`]).
//!
//! A request goes [`http`] → [`router`] → a file of [`resources`], which asks the broker and the
//! [`node::Node`], and answers JSON. The server that runs is known by that trait alone.

mod answer;
mod app;
mod assets;
mod auth;
mod date;
mod dead_letters;
pub mod doorway;
mod http;
mod list;
mod metrics;
pub mod node;
mod rates;
mod request;
mod resources;
mod router;
mod sampling;

use std::sync::Arc;

use app::App;
use doorway::Port;
use http::{Gate, Responder};
use metrics::Scrapes;
use node::Node;

/// Serves the interface on all of `ports` until the future is dropped.
pub async fn serve(ports: Vec<Port>, node: Arc<dyn Node>) {
    let app = Arc::new(App::new(node));
    let gate = Arc::new(Gate::new(Arc::clone(&app)));
    tokio::select! {
        () = accept_all(ports, gate) => {}
        () = sampling::sample(app) => {}
    }
}

/// Serves metrics for Prometheus on all of `ports` until the future is dropped, to everybody.
pub async fn serve_metrics(ports: Vec<Port>, node: Arc<dyn Node>) {
    accept_all(ports, Arc::new(Scrapes::new(node))).await;
}

async fn accept_all(ports: Vec<Port>, responder: Arc<impl Responder>) {
    let mut accepting = tokio::task::JoinSet::new();
    for port in ports {
        accepting.spawn(http::accept(port, Arc::clone(&responder)));
    }
    while accepting.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests;
