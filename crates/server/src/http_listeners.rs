//! The listeners of what is served by HTTP, the management interface and metrics: without TLS and
//! with it, each with certificates of its own, and what their connections pass.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use leveret_management::doorway::{Arrival, Doorway, Passing, Peer, Port};
use leveret_management::node::{self, Node};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::net::listener::{Client, is_proxy, listen, shake_hands};
use crate::net::proxy::read_header;
use crate::net::tls::TlsContext;
use crate::options::{AutoPort, Options};
use crate::shared::Shared;

/// What is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interface {
    Management,
    Metrics,
}

use Interface::{Management, Metrics};

impl Interface {
    fn words(self) -> &'static str {
        match self {
            Management => "management interface",
            Metrics => "metrics",
        }
    }

    /// What configuration keys begin with.
    fn section(self) -> &'static str {
        match self {
            Management => "management",
            Metrics => "prometheus",
        }
    }

    /// The port that tools expect.
    fn usual_port(self, is_secure: bool) -> u16 {
        match (self, is_secure) {
            (Management, false) => 15_672,
            (Management, true) => 15_671,
            (Metrics, false) => 15_692,
            (Metrics, true) => 15_691,
        }
    }

    fn protocol(self) -> &'static str {
        match self {
            Management => "http",
            Metrics => "http/prometheus",
        }
    }
}

/// Where something is served.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) interface: Interface,
    pub(crate) is_secure: bool,
    pub(crate) address: SocketAddr,
}

impl Place {
    /// As the management interface lists it.
    pub(crate) fn shown(&self) -> node::Listener {
        let (protocol, address) = (self.interface.protocol(), self.address);
        node::Listener { protocol, address, tls: self.is_secure }
    }
}

struct Open {
    place: Place,
    listener: TcpListener,
    tls: Option<Arc<TlsContext>>,
}

/// The listeners, before they serve.
pub(crate) struct HttpListeners(Vec<Open>);

/// Listens, or says why not; nowhere if it is off, or if no port was asked for and the usual one
/// is taken.
fn open(
    interface: Interface,
    is_secure: bool,
    (ip, port): (IpAddr, AutoPort),
    options: &Options,
) -> io::Result<Option<(Place, TcpListener)>> {
    let (port, asked) = match port {
        AutoPort::None => return Ok(None),
        AutoPort::Auto => (interface.usual_port(is_secure), false),
        AutoPort::Number(port) => (port, true),
    };
    let (address, what) = (SocketAddr::new(ip, port), interface.words());
    match listen(address, options) {
        Ok(listener) => {
            let address = listener.local_addr()?;
            Ok(Some((Place { interface, is_secure, address }, listener)))
        }
        Err(error) if asked => {
            let section = interface.section();
            let key = format!("{section}.{}.port", if is_secure { "ssl" } else { "tcp" });
            let text = format!("cannot listen on {address} for the {what} ({key}): {error}");
            Err(io::Error::new(error.kind(), text))
        }
        Err(error) => {
            tracing::warn!(%address, %error, "no {what}: the usual port is taken");
            Ok(None)
        }
    }
}

impl HttpListeners {
    /// Listens wherever the options say. The error names the key that is wrong.
    pub(crate) fn open(options: &Options) -> io::Result<Self> {
        let mut all = Vec::new();
        let wanted = [
            (Management, (options.management_ip, options.management_port), &options.management_tls),
            (Metrics, (options.metrics_ip, options.metrics_port), &options.metrics_tls),
        ];
        for (interface, plain, secure) in wanted {
            if let Some((place, listener)) = open(interface, false, plain, options)? {
                all.push(Open { place, listener, tls: None });
            }
            if let Some((place, listener)) =
                open(interface, true, (secure.ip, secure.port), options)?
            {
                let tls = Some(Arc::new(TlsContext::load_for(
                    &format!("the {}", interface.words()),
                    &secure.tls,
                )?));
                all.push(Open { place, listener, tls });
            }
        }
        Ok(Self(all))
    }

    pub(crate) fn places(&self) -> Vec<Place> {
        self.0.iter().map(|one| one.place).collect()
    }

    /// The certificates of an interface, if it is served with TLS.
    pub(crate) fn tls(&self, interface: Interface) -> Option<Arc<TlsContext>> {
        self.0.iter().filter(|one| one.place.interface == interface).find_map(|one| one.tls.clone())
    }

    /// Serves all of it.
    pub(crate) fn serve(self, shared: &Arc<Shared>, node: &Arc<dyn Node>) -> Vec<JoinHandle<()>> {
        let (management, metrics): (Vec<_>, Vec<_>) =
            self.0.into_iter().partition(|one| one.place.interface == Management);
        let ports = |all: Vec<Open>| -> Vec<Port> {
            all.into_iter().map(|one| port(one, shared)).collect()
        };
        let mut tasks = Vec::new();
        if !management.is_empty() {
            let serve = leveret_management::serve(ports(management), Arc::clone(node));
            tasks.push(tokio::spawn(serve));
        }
        if !metrics.is_empty() {
            let serve = leveret_management::serve_metrics(ports(metrics), Arc::clone(node));
            tasks.push(tokio::spawn(serve));
        }
        tasks
    }
}

fn port(Open { place, listener, tls }: Open, shared: &Arc<Shared>) -> Port {
    let by_proxy = place.interface == Management;
    let doorway = Entry { shared: Arc::clone(shared), tls, by_proxy };
    Port { listener, doorway: Arc::new(doorway) }
}

/// What connections pass: the header of a proxy, if one may come, and TLS, if it is spoken here.
#[derive(Clone)]
struct Entry {
    shared: Arc<Shared>,
    tls: Option<Arc<TlsContext>>,
    /// Whether proxies are asked for the client's address, if the options say so.
    by_proxy: bool,
}

impl Doorway for Entry {
    fn pass(&self, stream: TcpStream, from: SocketAddr) -> Passing {
        Box::pin(self.clone().enter(stream, from))
    }
}

impl Entry {
    async fn enter(self, mut stream: TcpStream, from: SocketAddr) -> Option<Arrival> {
        let options = self.shared.options.load_full();
        let deadline = Instant::now() + options.handshake_timeout;
        let mut address = from;
        if self.by_proxy && options.management_proxy && is_proxy(&options, from) {
            match timeout_at(deadline, read_header(&mut stream, from)).await {
                Ok(Ok(named)) => address = named,
                Ok(Err(error)) => {
                    tracing::warn!(%from, %error, "HTTP connection refused");
                    return None;
                }
                Err(_) => {
                    tracing::info!(%from, "no PROXY protocol header in time");
                    return None;
                }
            }
        }
        let peer = Peer { address, is_secure: self.tls.is_some() };
        let Some(tls) = self.tls else {
            return Some(Arrival { stream: Box::new(stream), peer });
        };
        let deadline = deadline.min(Instant::now() + options.tls.handshake_timeout);
        let bytes_max = options.entry.pending_bytes_max;
        let client = Client { address, bytes_max, deadline };
        let stream = shake_hands(&tls, stream, client).await?;
        Some(Arrival { stream: Box::new(stream), peer })
    }
}
