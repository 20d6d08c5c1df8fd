//! The running process: listeners, sessions, flow control, shutdown. The async world; what a queue
//! does with a message is none of its business.
//!
//! `net` moves bytes, `session` turns them into verbs of the broker, `shared` is what all
//! connections have in common.

mod alarms;
pub mod audit;
mod bodies;
mod bucket;
mod clock;
pub mod durable;
mod fatal;
#[doc(hidden)]
pub mod hot_path;
mod http_listeners;
mod listener_options;
mod loading;
mod log_ring;
mod login;
mod management;
mod memory;
mod net;
mod oauth;
mod options;
mod session;
mod shared;
mod stats;
mod telemetry;
mod tenants;
#[cfg(test)]
mod tests;
pub mod web_client;

use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leveret_broker::broker::Broker;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

pub use durable::tools as durable_tools;
pub use leveret_management::node::LogLine;
pub use leveret_wire::x509::NameKind;
pub use listener_options::{
    AddressRange, CertLoginFrom, EntryLimits, HttpsOptions, TlsOptions, TlsVersion,
};
pub use log_ring::LogRing;
pub use oauth::{InvalidAddress, OAuthOptions, SigningAlgorithm, WebAddress};
pub use options::{AnonymousLogin, AutoPort, Durability, Options, StoreOptions};
pub use telemetry::TelemetryOptions;

use durable::{OpenedLog, Running, StoreLog};
use http_listeners::{HttpListeners, Interface, Place};
use leveret_management::node::Node;
use management::Administered;
use memory::ProcessMemory;
use net::listener::{Port, accept, listen};
use net::mailbox::Notice;
use net::tls::TlsContext;
use shared::Shared;
use telemetry::Sending;

/// How long a shutdown waits for clients to answer their close.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it waits for the tasks of those that it cuts then.
const CUT_TIMEOUT: Duration = Duration::from_secs(1);
/// How often the memory of the process is looked at, and so the end of a memory alarm.
const MEMORY_INTERVAL: Duration = Duration::from_millis(100);

/// A running server.
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    tls_addresses: Vec<SocketAddr>,
    tls: Contexts,
    http: Vec<Place>,
    tasks: Vec<JoinHandle<()>>,
    running: Mutex<Option<Running>>,
    telemetry: Option<Sending>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Server {
    /// Starts to listen and serve. The error names the address that cannot be listened on.
    pub async fn start(options: Options) -> std::io::Result<Self> {
        let (log, mut broker) = open_broker(&options).await?;
        if let Some(path) = options.load_definitions.clone() {
            let load = move || load_definitions(&broker, &path).map(|()| broker);
            let loaded = tokio::task::spawn_blocking(load).await;
            broker = loaded.map_err(std::io::Error::other)??;
        }
        add_defaults(&broker, &options);
        let (listeners, addresses) = listen_on(&options.amqp_listen, &options)?;
        let (tls_listeners, tls_addresses) = listen_on(&options.amqps_listen, &options)?;
        let http_listeners = HttpListeners::open(&options)?;
        let (tls, http) = (Contexts::load(&options, &http_listeners)?, http_listeners.places());
        let shared = Arc::new(Shared::new(broker, options));
        let _ = shared.tls.set(tls.all().cloned().collect());
        shared.watch_timeouts();
        let running = Running::start(&log, &shared)?;
        tell_of_access(&shared);
        let telemetry = telemetry::start(&shared);
        login::start(&shared);
        let mut tasks = vec![
            tokio::spawn(keep_time(Arc::clone(&shared))),
            tokio::spawn(watch_memory(Arc::clone(&shared))),
        ];
        for listener in listeners {
            tasks.push(tokio::spawn(accept(listener, Port::plain(&shared))));
        }
        for listener in tls_listeners {
            let port = Port { shared: Arc::clone(&shared), tls: tls.amqp.clone() };
            tasks.push(tokio::spawn(accept(listener, port)));
        }
        tasks.extend(tls.watch());
        let amqp = (&addresses[..], &tls_addresses[..]);
        let node: Arc<dyn Node> = Arc::new(Administered::new(Arc::clone(&shared), amqp, &http));
        tasks.extend(http_listeners.serve(&shared, &node));
        let running = Mutex::new(Some(running));
        Ok(Self { shared, addresses, tls_addresses, tls, http, tasks, running, telemetry })
    }

    /// Where AMQP over TLS is served, with the ports that were picked for port 0.
    pub fn amqps_addresses(&self) -> &[SocketAddr] {
        &self.tls_addresses
    }

    /// Where AMQP is served, with the ports that were picked for port 0.
    pub fn amqp_addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where the management interface is served, if it is.
    pub fn management_address(&self) -> Option<SocketAddr> {
        self.http_address(Interface::Management, false)
    }

    /// Where it is served over TLS, if it is.
    pub fn management_tls_address(&self) -> Option<SocketAddr> {
        self.http_address(Interface::Management, true)
    }

    /// Where metrics are served, if they are.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.http_address(Interface::Metrics, false)
    }

    /// Where they are served over TLS, if they are.
    pub fn metrics_tls_address(&self) -> Option<SocketAddr> {
        self.http_address(Interface::Metrics, true)
    }

    fn http_address(&self, interface: Interface, is_secure: bool) -> Option<SocketAddr> {
        let wanted = |place: &&Place| place.interface == interface && place.is_secure == is_secure;
        self.http.iter().find(wanted).map(|place| place.address)
    }

    /// Takes new options; those that connections read at their start hold for new connections.
    ///
    /// Certificates are read again, too; if they are wrong, the old ones stay in force.
    pub fn reload(&self, options: Options) {
        self.tls.reload(&options);
        let before = self.shared.options.swap(Arc::new(options));
        if before.consumer_timeout != self.shared.options.load().consumer_timeout {
            self.shared.broadcast(&Notice::Timeouts);
        }
    }

    /// Stops to listen, closes every connection with 320 and waits until they are gone; those that
    /// are not in time are cut. Then all that was appended to the log is made durable, and the log
    /// closed.
    pub async fn shutdown(&self) {
        for task in &self.tasks {
            task.abort();
        }
        self.close_connections().await;
        self.shared.broker.settle_marks(clock::now());
        self.close_log().await;
        if let Some(telemetry) = &self.telemetry {
            telemetry.end().await;
        }
    }

    async fn close_connections(&self) {
        self.shared.door.clear();
        let reason = "broker forced connection closure with reason 'shutdown'";
        self.shared.broadcast(&Notice::Close(reason.to_owned()));
        if self.wait_for_connections(SHUTDOWN_TIMEOUT).await {
            return;
        }
        let open = self.shared.connection_count();
        tracing::warn!(open, "connections did not close in time");
        self.shared.broadcast(&Notice::Cut);
        self.wait_for_connections(CUT_TIMEOUT).await;
    }

    /// Whether all connections are gone within `patience`.
    async fn wait_for_connections(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            let mut ended = pin!(self.shared.connection_ended.notified());
            ended.as_mut().enable();
            if self.shared.connection_count() == 0 {
                return true;
            }
            if timeout_at(deadline, ended).await.is_err() {
                return self.shared.connection_count() == 0;
            }
        }
    }

    /// Closes the log, once.
    async fn close_log(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(running) = running else { return };
        let stopped = tokio::task::spawn_blocking(|| running.stop()).await;
        if let Err(error) = stopped.map_err(std::io::Error::other).and_then(|stopped| stopped) {
            tracing::error!(%error, "the log was not closed in good order; the next start repairs");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The certificates of all listeners that speak TLS.
struct Contexts {
    amqp: Option<Arc<TlsContext>>,
    management: Option<Arc<TlsContext>>,
    metrics: Option<Arc<TlsContext>>,
}

impl Contexts {
    fn load(options: &Options, http: &HttpListeners) -> std::io::Result<Self> {
        let amqp = match options.amqps_listen.is_empty() {
            true => None,
            false => Some(Arc::new(TlsContext::load_for("AMQP", &options.tls)?)),
        };
        let (management, metrics) = (http.tls(Interface::Management), http.tls(Interface::Metrics));
        Ok(Self { amqp, management, metrics })
    }

    fn reload(&self, options: &Options) {
        let all = [
            (&self.amqp, &options.tls),
            (&self.management, &options.management_tls.tls),
            (&self.metrics, &options.metrics_tls.tls),
        ];
        for (context, options) in all {
            if let Some(context) = context {
                context.reload(options.clone());
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<TlsContext>> {
        [&self.amqp, &self.management, &self.metrics].into_iter().flatten()
    }

    /// Tasks that look at the files.
    fn watch(&self) -> impl Iterator<Item = JoinHandle<()>> {
        let watch = |tls: Arc<TlsContext>| tokio::spawn(async move { tls.watch().await });
        self.all().cloned().map(watch)
    }
}

/// Listens on all `wanted` addresses; the listeners, and where they are.
fn listen_on(
    wanted: &[SocketAddr],
    options: &Options,
) -> std::io::Result<(Vec<TcpListener>, Vec<SocketAddr>)> {
    let mut listeners = Vec::new();
    let mut addresses = Vec::new();
    for address in wanted {
        let listener = listen(*address, options).map_err(|error| {
            std::io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
        })?;
        addresses.push(listener.local_addr()?);
        listeners.push(listener);
    }
    Ok((listeners, addresses))
}

/// Opens the data directory, and makes the broker of what it has kept.
async fn open_broker(options: &Options) -> std::io::Result<(Arc<StoreLog>, Broker)> {
    let (store, seed) = (options.store.clone(), seed()?);
    let memory = options.memory_high_watermark_bytes;
    let open = move || {
        let opened = durable::open(&store, memory)?;
        let OpenedLog { log, recovered, report } = opened;
        durable::tell(&store, &report);
        let broker = Broker::recover(log.clone(), seed, recovered, clock::now());
        for queue in broker.orphans() {
            tracing::error!(queue = queue.0, "messages of a queue that is not defined are kept");
        }
        broker.set_memory_budget(memory);
        Ok((log, broker))
    };
    let opened: Result<_, leveret_store::OpenError> =
        tokio::task::spawn_blocking(open).await.map_err(std::io::Error::other)?;
    opened.map_err(|error| {
        let data_dir = options.store.data_dir.display();
        let advice = durable::advice::of(&error).map(|advice| format!("; {advice}"));
        let advice = advice.unwrap_or_default();
        std::io::Error::other(format!("data directory {data_dir}: {error}{advice}"))
    })
}

/// Takes over a definitions file.
fn load_definitions(broker: &Broker, path: &Path) -> std::io::Result<()> {
    let fault = |error: &dyn std::fmt::Display| {
        std::io::Error::other(format!("definitions file {}: {error}", path.display()))
    };
    let unread = |error: std::io::Error| fault(&format!("{error}; load_definitions names it"));
    let file = std::fs::read(path).map_err(unread)?;
    let imported = broker.import(&file, clock::now()).map_err(|error| fault(&error))?;
    let path = path.display();
    for ignored in &imported.ignored {
        tracing::warn!(%path, ignored, "this part of the definitions file has no effect here");
    }
    audit::act("the server", None, "import definitions", &path.to_string());
    tracing::info!(%path, changed = imported.changed, "definitions file taken over");
    Ok(())
}

/// Gives a broker without a vhost, or without a user, its first.
fn add_defaults(broker: &Broker, options: &Options) {
    if broker.topology().vhosts.is_empty() {
        broker.add_vhost(&options.default_vhost);
    }
    if broker.topology().users.is_empty() {
        let (user, password) = (&options.default_user, &options.default_pass);
        match broker.put_administrator(user, password, &options.default_vhost) {
            Ok(_) => audit::act("the server", None, "add user", user),
            Err(error) => tracing::warn!(user, %error, "the default user is not what it should be"),
        }
    }
}

/// Has all connections told when users, vhosts or permissions change.
fn tell_of_access(shared: &Arc<Shared>) {
    let weak = Arc::downgrade(shared);
    shared.broker.on_access_change(move |change| {
        if let Some(shared) = weak.upgrade() {
            shared.broadcast(&Notice::Access(change.clone()));
        }
    });
}

/// A secret for the names that the broker makes up.
fn seed() -> std::io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(std::io::Error::other)?;
    Ok(seed)
}

/// Has the broker do what is due: expired messages, leases that ran out.
async fn keep_time(shared: Arc<Shared>) {
    let changed = Arc::new(Notify::new());
    let waker = Arc::clone(&changed);
    shared.broker.on_alarm_change(move || waker.notify_one());
    loop {
        match shared.broker.next_alarm() {
            Some(at) if at <= clock::now() => {
                // There may be more at once: no timer, which is a millisecond, but others' turn.
                shared.broker.tick(clock::now());
                tokio::task::yield_now().await;
            }
            Some(at) => {
                tokio::select! {
                    () = sleep(clock::until(at)) => shared.broker.tick(clock::now()),
                    () = changed.notified() => {}
                }
            }
            None => changed.notified().await,
        }
    }
}

/// Looks at the memory of the process; raises the memory alarm, and ends it.
async fn watch_memory(shared: Arc<Shared>) {
    let process = ProcessMemory::open();
    loop {
        if let Some(bytes) = process.as_ref().and_then(ProcessMemory::bytes) {
            shared.note_process(bytes);
        }
        shared.check_memory(clock::now());
        shared.relax_memory(clock::now());
        sleep(MEMORY_INTERVAL).await;
    }
}
