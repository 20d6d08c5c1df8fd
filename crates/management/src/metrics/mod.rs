//! Metrics in Prometheus' text format, on a port of their own, with RabbitMQ's paths and names.
//!
//! Who reaches the port reads them, without a login, as with RabbitMQ: it is to be on a network
//! that only those reach who may. Invariants: two aggregated pages and one other are made at a
//! time; an answer is at most one page in memory; a request has no body and a bounded query.

mod page;
mod pages;
mod tables;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::Semaphore;

use crate::doorway::Peer;
use crate::http::Responder;
use crate::node::Node;
use crate::request::Query;
use pages::Chosen;

/// How many aggregated pages are made at once, and how many others.
const AGGREGATED_MAX: usize = 2;
const OBJECTS_MAX: usize = 1;
/// Most families and vhosts of a request.
const FAMILIES_MAX: usize = 64;
const VHOSTS_MAX: usize = 256;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const TOO_LONG: &str = "the page would be too long: ask for fewer families, or for some vhosts, \
                        with /metrics/detailed?family=queue_coarse_metrics&vhost=NAME\n";

/// A page as it is asked for.
#[derive(Debug)]
enum Wanted {
    Aggregated,
    PerObject,
    Detailed(Chosen),
}

/// What all connections of the listener share.
pub(crate) struct Scrapes {
    node: Arc<dyn Node>,
    aggregated: Arc<Semaphore>,
    objects: Arc<Semaphore>,
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The page that a path and a query stand for, or what is wrong with them.
fn wanted(path: &str, query: &str) -> Result<Wanted, (StatusCode, &'static str)> {
    let bad = |reason| (StatusCode::BAD_REQUEST, reason);
    match path.trim_end_matches('/') {
        "/metrics" => Ok(Wanted::Aggregated),
        "/metrics/per-object" => Ok(Wanted::PerObject),
        "/metrics/detailed" => {
            let query = Query::parse(query).ok_or_else(|| bad("the query cannot be decoded\n"))?;
            let all = |key| query.all(key).map(str::to_owned).collect::<Vec<_>>();
            let (families, vhosts) = (all("family"), all("vhost"));
            if families.len() > FAMILIES_MAX {
                return Err(bad("at most 64 families can be asked for at once\n"));
            }
            if vhosts.len() > VHOSTS_MAX {
                return Err(bad("at most 256 vhosts can be asked for at once\n"));
            }
            Ok(Wanted::Detailed(Chosen { families, vhosts }))
        }
        _ => Err((
            StatusCode::NOT_FOUND,
            "metrics are at /metrics, /metrics/per-object and /metrics/detailed?family=...\n",
        )),
    }
}

impl Scrapes {
    pub(crate) fn new(node: Arc<dyn Node>) -> Self {
        Self {
            node,
            aggregated: Arc::new(Semaphore::new(AGGREGATED_MAX)),
            objects: Arc::new(Semaphore::new(OBJECTS_MAX)),
        }
    }

    /// Makes a page on a thread that may block.
    async fn page(&self, wanted: Wanted) -> Response<Full<Bytes>> {
        let places = match wanted {
            Wanted::Aggregated => &self.aggregated,
            Wanted::PerObject | Wanted::Detailed(_) => &self.objects,
        };
        let Ok(permit) = Arc::clone(places).acquire_owned().await else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "");
        };
        let node = Arc::clone(&self.node);
        let made = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            match wanted {
                Wanted::Aggregated => pages::aggregated(&*node),
                Wanted::PerObject => pages::per_object(&*node),
                Wanted::Detailed(chosen) => pages::detailed(&*node, &chosen),
            }
        });
        match made.await {
            Ok(Some(page)) => text(StatusCode::OK, page),
            Ok(None) => text(StatusCode::SERVICE_UNAVAILABLE, TOO_LONG),
            Err(error) => {
                tracing::error!(%error, "a page of metrics failed");
                text(StatusCode::INTERNAL_SERVER_ERROR, "see the log\n")
            }
        }
    }
}

impl Responder for Scrapes {
    async fn respond(
        self: Arc<Self>,
        request: Request<Incoming>,
        _peer: Peer,
    ) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        let uri = request.uri();
        match wanted(uri.path(), uri.query().unwrap_or("")) {
            Ok(wanted) => self.page(wanted).await,
            Err((status, reason)) => text(status, reason),
        }
    }
}
