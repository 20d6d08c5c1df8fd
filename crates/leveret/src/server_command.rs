//! `leveret server`: starts the broker in the foreground, obeys signals, and stops it.
//!
//! SIGTERM and SIGINT stop it in good order, a second one at once. SIGHUP reads the configuration
//! again.

use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow};
use leveret_server::{
    AnonymousLogin, CertLoginFrom, EntryLimits, HttpsOptions, OAuthOptions, Options, Server,
    StoreOptions, TelemetryOptions, TlsOptions,
};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{self, Config, ConfigArgs, Loaded, LoginFrom, PeerVerify};
use crate::logging::{self, Log};
use crate::notify;

/// Runs the broker until it is told to stop.
pub fn run(arguments: &ConfigArgs, started: Instant) -> anyhow::Result<()> {
    let loaded = config::load(arguments)?;
    let log = logging::start(&loaded.config.log_level, loaded.config.log_format)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    crate::allocator::give_back_at_rest();
    raise_open_files();
    check_open_files()?;
    tell_open_files(loaded.config.connection_max);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if loaded.config.worker_threads > 0 {
        runtime.worker_threads(loaded.config.worker_threads);
    }
    let runtime = runtime
        .event_interval(TASKS_BETWEEN_EVENTS)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(serve(arguments, loaded, log, started));
    // A task that still blocks must not keep the process from ending.
    runtime.shutdown_background();
    result
}

/// How many tasks' turns come between two looks at the sockets. A turn takes what one large read
/// brought, so that with many of them nobody would be heard for long.
const TASKS_BETWEEN_EVENTS: u32 = 13;

/// Open files that are not connections: listeners, the log, segments.
const FILES_RESERVED: usize = 512;

/// With fewer the log and the segments alone would come to the limit.
const FILES_MIN: u64 = 256;

/// Fewer connections than this are worth a warning.
const CONNECTIONS_FEW: usize = 10_000;

/// How many connections there can be: a connection takes a file, and those of the store must not
/// be taken away.
fn connections_possible() -> usize {
    let open_files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(open_files).unwrap_or(usize::MAX).saturating_sub(FILES_RESERVED).max(64)
}

/// Refuses to start where the disk would soon seem to fail for want of open files.
fn check_open_files() -> anyhow::Result<()> {
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < FILES_MIN => Err(anyhow!(
            "the limit of open files is {limit}, and a broker needs {FILES_MIN} at least, one more \
             for each connection: raise it with `ulimit -Hn` in a shell, `LimitNOFILE=` in a \
             systemd unit, `--ulimit nofile=` for a container"
        )),
        _ => Ok(()),
    }
}

/// Says when the limit of open files is lower than that of connections.
fn tell_open_files(connection_max: usize) {
    let connections = connections_possible();
    if connections >= connection_max {
        return;
    }
    let text = "the limit of open files allows fewer connections than connection_max";
    if connections < CONNECTIONS_FEW {
        tracing::warn!(connections, connection_max, "{text}: raise it (ulimit -Hn, LimitNOFILE)");
    } else {
        tracing::info!(connections, connection_max, "{text}");
    }
}

/// Raises the soft limit of open files to the hard one: each connection takes one.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

async fn serve(
    arguments: &ConfigArgs,
    loaded: Loaded,
    log: Log,
    started: Instant,
) -> anyhow::Result<()> {
    let mut signals = StopSignals::new().context("cannot handle signals")?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot handle SIGHUP")?;
    let mut config = loaded.config;
    let server = tokio::select! {
        server = Server::start(options(&config, &log)) => server,
        () = signals.stop() => return Ok(()),
    };
    let server = server.map_err(|error| advise(error, &config))?;
    announce(&server, started);
    notify::ready();
    loop {
        tokio::select! {
            () = signals.stop() => break,
            _ = hangup.recv() => reload(arguments, &mut config, &server, &log),
        }
    }
    notify::stopping();
    tracing::info!("stopping; a second signal stops at once");
    tokio::select! {
        () = server.shutdown() => tracing::info!("stopped"),
        () = signals.stop() => tracing::warn!("stopped at once, without closing connections"),
    }
    Ok(())
}

/// The signals that ask to stop.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> std::io::Result<Self> {
        Ok(StopSignals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for one of them.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Prints the one line on standard output that says that the broker serves, and where.
fn announce(server: &Server, started: Instant) {
    let mut line = String::from("ready");
    for address in server.amqp_addresses() {
        line.push_str(&format!(" amqp={address}"));
    }
    for address in server.amqps_addresses() {
        line.push_str(&format!(" amqps={address}"));
    }
    let http = [
        ("management", server.management_address()),
        ("management_tls", server.management_tls_address()),
        ("metrics", server.metrics_address()),
        ("metrics_tls", server.metrics_tls_address()),
    ];
    for (name, address) in http {
        if let Some(address) = address {
            line.push_str(&format!(" {name}={address}"));
        }
    }
    let start_ms = started.elapsed().as_millis();
    // A standard output that is closed is no reason not to serve.
    let _ = writeln!(std::io::stdout(), "{line} start_ms={start_ms}");
    let version = env!("CARGO_PKG_VERSION");
    let (amqp, management) = (server.amqp_addresses(), server.management_address());
    let metrics = server.metrics_address();
    tracing::info!(version, ?amqp, ?management, ?metrics, start_ms, "ready");
}

/// Reads the configuration again and applies what can be applied; keeps the old one if it is wrong.
fn reload(arguments: &ConfigArgs, config: &mut Config, server: &Server, log: &Log) {
    let new = match config::load(arguments) {
        Ok(loaded) => loaded.config,
        Err(problems) => {
            tracing::error!(%problems, "configuration not reloaded");
            return;
        }
    };
    let changes = config::changes(config, &new);
    *config = config.reloaded(&new);
    server.reload(options(config, log));
    if let Err(error) = log.set_filter(&config.log_level) {
        tracing::error!(%error, "cannot change the log level");
    }
    for change in &changes {
        let (key, old, new) = (change.key.name, &change.old, &change.new);
        if change.key.reloadable {
            tracing::info!(key, %old, %new, "configuration key changed");
        } else {
            tracing::warn!(key, %old, %new, "configuration key needs a restart to change");
        }
    }
    tracing::info!(changes = changes.len(), "configuration reloaded");
}

/// The configuration as administrators may see it from afar: without secrets.
fn shown(config: &Config) -> serde_json::Value {
    let shown = config.entries().into_iter().filter(|(key, _)| !key.secret);
    serde_json::Value::Object(
        shown.map(|(key, value)| (key.name.to_owned(), value.into())).collect(),
    )
}

/// What TLS is told by the configuration.
fn tls_options(config: &Config) -> TlsOptions {
    TlsOptions {
        section: "ssl_options",
        certificates: config.ssl_certfile.clone(),
        key: config.ssl_keyfile.clone(),
        authorities: config.ssl_cacertfile.clone(),
        by_name: config.ssl_sni_dir.clone(),
        verify_peer: config.ssl_verify == PeerVerify::Peer,
        require_peer: config.ssl_fail_if_no_peer_cert,
        versions: config.ssl_versions.clone(),
        login_from: match config.ssl_cert_login_from {
            LoginFrom::Subject => CertLoginFrom::DistinguishedName,
            LoginFrom::Common => CertLoginFrom::CommonName,
            LoginFrom::Alternative => CertLoginFrom::AlternativeName(
                config.ssl_cert_login_san_type,
                config.ssl_cert_login_san_index,
            ),
        },
        handshake_timeout: config.ssl_handshake_timeout,
    }
}

/// What TLS is told for the management interface.
fn management_tls(config: &Config) -> HttpsOptions {
    let own = TlsOptions {
        section: "management.ssl",
        certificates: config.management_ssl_certfile.clone(),
        key: config.management_ssl_keyfile.clone(),
        authorities: config.management_ssl_cacertfile.clone(),
        verify_peer: config.management_ssl_verify == PeerVerify::Peer,
        require_peer: config.management_ssl_fail_if_no_peer_cert,
        ..tls_options(config)
    };
    let (ip, port) = (config.management_ssl_ip, config.management_ssl_port);
    HttpsOptions { ip, port, tls: completed(own, config) }
}

/// The same for metrics.
fn metrics_tls(config: &Config) -> HttpsOptions {
    let own = TlsOptions {
        section: "prometheus.ssl",
        certificates: config.metrics_ssl_certfile.clone(),
        key: config.metrics_ssl_keyfile.clone(),
        authorities: config.metrics_ssl_cacertfile.clone(),
        verify_peer: config.metrics_ssl_verify == PeerVerify::Peer,
        require_peer: config.metrics_ssl_fail_if_no_peer_cert,
        ..tls_options(config)
    };
    let (ip, port) = (config.metrics_ssl_ip, config.metrics_ssl_port);
    HttpsOptions { ip, port, tls: completed(own, config) }
}

/// The certificates of AMQP where there are none of its own.
fn completed(own: TlsOptions, config: &Config) -> TlsOptions {
    let amqp = tls_options(config);
    let authorities = own.authorities.clone().or(amqp.authorities);
    match own.certificates {
        Some(_) => TlsOptions { authorities, by_name: None, ..own },
        None => TlsOptions { authorities, certificates: amqp.certificates, key: amqp.key, ..own },
    }
}

fn entry_limits(config: &Config) -> EntryLimits {
    EntryLimits {
        per_address_max: config.connection_max_per_address,
        rate_max: config.connection_rate_max,
        pending_max: config.unauthenticated_max,
        pending_bytes_max: config.unauthenticated_bytes_max,
        pending_total_bytes_max: config.unauthenticated_total_bytes_max,
    }
}

fn anonymous_login(config: &Config) -> Option<AnonymousLogin> {
    let user = config.anonymous_login_user.clone();
    (user != "none").then(|| AnonymousLogin { user, password: config.anonymous_login_pass.clone() })
}

/// What logins by token are told by the configuration; none if they are off.
fn oauth_options(config: &Config) -> Option<Arc<OAuthOptions>> {
    let id = config.oauth_resource_server_id.as_deref()?;
    Some(Arc::new(OAuthOptions {
        scope_prefix: config.oauth_scope_prefix.0.clone(),
        issuer: config.oauth_issuer.clone(),
        jwks_url: config.oauth_jwks_url.clone(),
        jwks_file: config.oauth_jwks_file.clone(),
        authorities: config.oauth_cacertfile.clone(),
        default_key: config.oauth_default_key.clone(),
        verify_audience: config.oauth_verify_aud,
        algorithms: config.oauth_algorithms.clone(),
        username_claims: config.oauth_username_claims.0.clone(),
        additional_scopes_key: config.oauth_additional_scopes_key.clone(),
        ..OAuthOptions::new(id)
    }))
}

/// Where spans go, if anywhere.
fn telemetry_options(config: &Config) -> Option<TelemetryOptions> {
    Some(TelemetryOptions {
        endpoint: config.opentelemetry_endpoint.clone()?,
        sample_ratio: config.opentelemetry_sample_ratio.0,
        service_name: config.opentelemetry_service_name.clone(),
    })
}

/// The server's options from the configuration.
fn options(config: &Config, log: &Log) -> Options {
    let shown = shown(config);
    let config = config.clone();
    let memory = config::machine_memory_bytes();
    Options {
        tls: tls_options(&config),
        entry: entry_limits(&config),
        anonymous_login: anonymous_login(&config),
        oauth: oauth_options(&config),
        telemetry: telemetry_options(&config),
        management_tls: management_tls(&config),
        metrics_tls: metrics_tls(&config),
        store: store_options(&config),
        proxies: if config.proxy_protocol { config.proxy_protocol_from } else { Vec::new() },
        amqp_listen: config.amqp_listen,
        management_ip: config.management_ip,
        management_port: config.management_port,
        metrics_ip: config.metrics_ip,
        metrics_port: config.metrics_port,
        management_proxy: config.proxy_protocol && config.management_proxy_protocol,
        strict_transport: config.management_hsts,
        shown,
        log_ring: log.ring(),
        amqps_listen: config.amqps_listen,
        product: config.product,
        cluster_name: config.cluster_name,
        node_name: config.node_name,
        default_user: config.default_user,
        default_pass: config.default_pass,
        default_vhost: config.default_vhost,
        heartbeat_secs: config.heartbeat,
        frame_max: config.frame_max,
        channel_max: config.channel_max,
        max_message_size: config.max_message_size,
        header_count_max: (config.header_count_max > 0).then_some(config.header_count_max),
        header_depth_max: config.header_depth_max,
        handshake_timeout: config.handshake_timeout,
        login_failure_delay: config.login_failure_delay,
        login_cache_ttl: config.login_cache_ttl,
        login_backoff_max: config.login_backoff_max,
        loopback_users: config.loopback_users.0,
        initial_frame_max: config.initial_frame_max,
        connection_max: config.connection_max.min(connections_possible()),
        out_buffer_max_bytes: config.out_buffer_max_bytes,
        consumers_per_connection_max: config.consumers_per_connection_max,
        consumers_per_channel_max: config.consumers_per_channel_max,
        send_timeout: Some(config.send_timeout).filter(|timeout| !timeout.is_zero()),
        half_received_max_bytes: config.half_received_max_bytes,
        consumer_timeout: Some(config.consumer_timeout).filter(|timeout| !timeout.is_zero()),
        transaction_max_bytes: config.transaction_max_bytes,
        memory_high_watermark_bytes: config.memory_high_watermark.bytes(memory),
        load_definitions: config.load_definitions,
        backlog: config.tcp_backlog,
        nodelay: config.tcp_nodelay,
    }
}

fn store_options(config: &Config) -> StoreOptions {
    StoreOptions {
        data_dir: config.data_dir.clone(),
        durability: config.durability,
        disk_free_limit_bytes: config.disk_free_limit_bytes,
        log_file_bytes: config.log_file_bytes,
        log_files_max: config.log_files_max,
        log_pending_max_bytes: config.log_pending_max_bytes,
    }
}

/// Adds what can be done to an error that names the address.
fn advise(error: std::io::Error, config: &Config) -> anyhow::Error {
    let advice = match error.kind() {
        ErrorKind::AddrInUse => "another broker may run there: stop it, or choose another address",
        ErrorKind::PermissionDenied => {
            "ports below 1024 are privileged: choose another one, or give the right to bind it"
        }
        ErrorKind::AddrNotAvailable => "this machine has no such address: choose another one",
        _ => return error.into(),
    };
    let text = error.to_string();
    let tls = config.amqps_listen.iter().any(|tls| text.contains(&format!("listen on {tls}: ")));
    let ports = ["management.tcp", "management.ssl", "prometheus.tcp", "prometheus.ssl"];
    let of_http = ports.into_iter().find(|key| text.contains(&format!("({key}.port)")));
    let flag = match (of_http, tls) {
        (Some(key), _) => format!("--{}-port PORT", key.replace('.', "-")),
        (None, true) => "--amqps-listen ADDR:PORT".to_owned(),
        (None, false) => "--amqp-listen ADDR:PORT".to_owned(),
    };
    anyhow!("{text}; {advice} with {flag} (port 0 takes a free one)")
}
