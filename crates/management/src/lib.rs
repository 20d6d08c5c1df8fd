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

use tokio::net::TcpListener;

use app::App;
use http::Gate;
use metrics::Scrapes;
use node::Node;

/// Serves the interface on `listener` until the future is dropped.
pub async fn serve(listener: TcpListener, node: Arc<dyn Node>) {
    let app = Arc::new(App::new(node));
    let gate = Arc::new(Gate::new(Arc::clone(&app)));
    tokio::select! {
        () = http::accept(listener, gate) => {}
        () = sampling::sample(app) => {}
    }
}

/// Serves metrics for Prometheus on `listener` until the future is dropped, to everybody.
pub async fn serve_metrics(listener: TcpListener, node: Arc<dyn Node>) {
    http::accept(listener, Arc::new(Scrapes::new(node))).await;
}

#[cfg(test)]
mod tests;
