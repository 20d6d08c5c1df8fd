//! The table of all configuration keys: each is declared here, and nowhere else.
//!
//! An entry is the documentation, the field of [`Config`] with its type, and the key's name,
//! default (written as in the environment), range, and what else is special about it. Where a user
//! of RabbitMQ would look for a key, it has RabbitMQ's name.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use leveret_server::{
    AddressRange, AutoPort, Durability, NameKind, SigningAlgorithm, TlsVersion, WebAddress,
};

use super::error::Problem;
use super::listener_setting::{LoginFrom, PeerVerify};
use super::oauth_setting::{ClaimNames, ScopePrefix};
use super::setting::{
    LogFilter, LogFormat, Range, Raw, Setting, Share, Unit, UserNames, Watermark,
};
use super::{Layer, Source};

/// What is known of a key besides its type.
pub struct Key {
    /// The dotted name, as in the file.
    pub name: &'static str,
    /// The explanation, a line a line.
    doc: &'static [&'static str],
    /// The default as it would stand in the environment.
    default: &'static str,
    /// The numbers it takes, if it takes numbers.
    pub range: Range,
    /// Whether SIGHUP applies a change.
    pub reloadable: bool,
    /// Whether its value must not be shown.
    pub secret: bool,
    /// Environment variables besides its own.
    aliases: &'static [&'static str],
    list: bool,
    fits: fn(&Key, &Raw) -> bool,
    expected: fn(&Key) -> String,
    placeholder: fn(&Key) -> &'static str,
}

/// The flags by the keys' names: `--` and the name with dashes.
static FLAGS: LazyLock<BTreeMap<&str, String>> = LazyLock::new(|| {
    KEYS.iter().map(|key| (key.name, format!("--{}", key.name.replace(['.', '_'], "-")))).collect()
});

impl Key {
    /// The explanation, a line a line.
    pub fn doc_lines(&self) -> Vec<&'static str> {
        self.doc.iter().map(|line| line.trim()).collect()
    }

    /// The key's flag, such as `--log-level`.
    pub fn flag(&self) -> &'static str {
        FLAGS.get(self.name).map_or("", String::as_str)
    }

    /// Its own environment variable, such as `LEVERET_LOG_LEVEL`.
    pub fn environment_name(&self) -> String {
        format!("LEVERET_{}", self.name.replace('.', "_").to_uppercase())
    }

    /// All its environment variables; the first that is set counts.
    pub fn environment_names(&self) -> Vec<String> {
        let aliases = self.aliases.iter().map(|alias| (*alias).to_owned());
        [self.environment_name()].into_iter().chain(aliases).collect()
    }

    /// Whether its flag may be repeated.
    pub fn is_list(&self) -> bool {
        self.list
    }

    /// What values it takes, in words.
    pub fn expected(&self) -> String {
        (self.expected)(self)
    }

    /// The word for its value in `--help`.
    pub fn value_name(&self) -> &'static str {
        (self.placeholder)(self)
    }

    /// The default, in words.
    pub fn default_text(&self) -> &'static str {
        self.default
    }

    /// Says what is wrong with a value found at `place`.
    pub fn check(&self, raw: &Raw, place: impl fmt::Display) -> Result<(), Problem> {
        if (self.fits)(self, raw) { Ok(()) } else { Err(self.misfit(raw, place)) }
    }

    fn misfit(&self, raw: &Raw, place: impl fmt::Display) -> Problem {
        let found = if self.secret { "something else".to_owned() } else { raw.to_string() };
        let text = format!("{}: expected {}, found {found}", self.name, self.expected());
        Problem::new(place, text)
    }
}

/// A key is its name.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.name).finish()
    }
}

/// The key of this name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The typed value of a key: what a source says, or the default.
fn value<T: Setting>(key: &Key, merged: &Layer) -> Result<T, Problem> {
    let default = (Raw::Untyped(key.default.to_owned()), Source::Default);
    let (raw, source) = merged.get(key.name).unwrap_or(&default);
    T::parse(key, raw).ok_or_else(|| key.misfit(raw, source))
}

const fn range(unit: Unit, min: u64, max: u64) -> Range {
    Range { unit, min, max }
}

/// Makes the table and the struct from one declaration.
macro_rules! keys {
    ($(
        $(#[doc = $doc:literal])+
        $field:ident: $type:ty = $name:literal, default $default:literal
        $(, range $range:expr)? $(, aliases $aliases:expr)? $(, secret $secret:literal)?;
        reload $reload:literal
    )+) => {
        /// All keys, in the order in which they are shown.
        pub static KEYS: &[Key] = &[$(Key {
            name: $name,
            doc: &[$($doc),+],
            default: $default,
            range: keys!(@or Range::NONE $(, $range)?),
            reloadable: $reload,
            secret: keys!(@or false $(, $secret)?),
            aliases: keys!(@or &[] $(, $aliases)?),
            list: <$type as Setting>::LIST,
            fits: |key, raw| <$type as Setting>::parse(key, raw).is_some(),
            expected: <$type as Setting>::expected,
            placeholder: <$type as Setting>::placeholder,
        }),+];

        /// A configuration with all its values.
        #[derive(Clone)]
        pub struct Config {
            $($(#[doc = $doc])+ pub $field: $type,)+
        }

        impl Config {
            /// Builds the values from what the sources say.
            pub(super) fn build(merged: &Layer) -> Result<Config, Problem> {
                let mut keys = KEYS.iter();
                // Fields are evaluated in the order of the table, so the keys keep step.
                let mut next = || keys.next().expect("the table has a key for each field");
                Ok(Config { $($field: value::<$type>(next(), merged)?,)+ })
            }

            /// Each key with its value as TOML, in the order of the table.
            pub fn entries(&self) -> Vec<(&'static Key, String)> {
                let mut keys = KEYS.iter();
                let mut next = || keys.next().expect("the table has a key for each field");
                vec![$({
                    let key = next();
                    (key, Setting::to_toml(&self.$field, key))
                }),+]
            }

            /// This configuration with the values of `new` where SIGHUP applies them.
            pub fn reloaded(&self, new: &Config) -> Config {
                Config { $($field: if $reload { &new.$field } else { &self.$field }.clone(),)+ }
            }
        }
    };
    (@or $default:expr) => { $default };
    (@or $default:expr, $given:expr) => { $given };
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.entries().into_iter().filter(|(key, _)| !key.secret);
        f.debug_map().entries(shown.map(|(key, value)| (key.name, value))).finish()
    }
}

keys! {
    /// Where AMQP 0-9-1 clients connect. Port 0 takes a free port, `none` turns the listener off.
    amqp_listen: Vec<SocketAddr> = "amqp_listen", default "127.0.0.1:5672";
    reload false

    /// Where AMQP 0-9-1 clients connect over TLS, by convention at port 5671. It needs
    /// `ssl_options.certfile` and `ssl_options.keyfile`.
    amqps_listen: Vec<SocketAddr> = "amqps_listen", default "none";
    reload false

    /// The server's certificate in PEM, with those between it and the root. The files of TLS are
    /// read again when they change and at SIGHUP; open connections go on.
    ssl_certfile: Option<PathBuf> = "ssl_options.certfile", default "none";
    reload true

    /// The key of that certificate in PEM, not encrypted.
    ssl_keyfile: Option<PathBuf> = "ssl_options.keyfile", default "none";
    reload true

    /// Certificates in PEM of those who may sign clients' certificates.
    ssl_cacertfile: Option<PathBuf> = "ssl_options.cacertfile", default "none";
    reload true

    /// A directory with further certificates (`NAME.crt`) and their keys (`NAME.key`): a client
    /// that asks for a DNS name of one of them (SNI) gets it.
    ssl_sni_dir: Option<PathBuf> = "ssl_options.sni_dir", default "none";
    reload true

    /// Whether clients are asked for a certificate: `verify_peer`, which refuses one that is not
    /// signed by `ssl_options.cacertfile`, or `verify_none`.
    ssl_verify: PeerVerify = "ssl_options.verify", default "verify_none";
    reload true

    /// Whether clients without a certificate are refused. It needs `verify_peer`.
    ssl_fail_if_no_peer_cert: bool = "ssl_options.fail_if_no_peer_cert", default "false";
    reload true

    /// The versions of TLS that are spoken.
    ssl_versions: Vec<TlsVersion> = "ssl_options.versions", default "tlsv1.3,tlsv1.2";
    reload true

    /// How long the TLS handshake may take, within `handshake_timeout`.
    ssl_handshake_timeout: Duration = "ssl_handshake_timeout", default "5000",
        range range(Unit::Milliseconds, 100, 600_000);
    reload true

    /// What of a client's certificate names its user for EXTERNAL: `distinguished_name`,
    /// `common_name` or `subject_alternative_name`.
    ssl_cert_login_from: LoginFrom = "ssl_cert_login_from", default "distinguished_name";
    reload true

    /// Which kind of subject alternative name: `dns`, `ip`, `email`, `uri` or `other_name`.
    ssl_cert_login_san_type: NameKind = "ssl_cert_login_san_type", default "dns";
    reload true

    /// Which of these, from 0.
    ssl_cert_login_san_index: usize = "ssl_cert_login_san_index", default "0",
        range range(Unit::Count, 0, 1_000);
    reload true

    /// The user that clients are who log in by ANONYMOUS; `none` turns that off.
    anonymous_login_user: String = "anonymous_login_user", default "none";
    reload true

    /// The password of that user.
    anonymous_login_pass: String = "anonymous_login_pass", default "none", secret true;
    reload true

    /// The id of this broker as OAuth 2 knows it: what a token's audience must have in it. `none`
    /// turns logins by token off.
    oauth_resource_server_id: Option<String> = "auth_oauth2.resource_server_id", default "none";
    reload true

    /// Who must have issued a token. Without `auth_oauth2.jwks_url` and `auth_oauth2.jwks_file` it
    /// is an address, and its OpenID discovery document says where the keys are.
    oauth_issuer: Option<String> = "auth_oauth2.issuer", default "none";
    reload true

    /// Where the keys are fetched that tokens are signed with, as a JSON Web Key Set.
    oauth_jwks_url: Option<WebAddress> = "auth_oauth2.jwks_url", default "none";
    reload true

    /// A file with such keys.
    oauth_jwks_file: Option<PathBuf> = "auth_oauth2.jwks_file", default "none";
    reload true

    /// Certificates in PEM of those who may sign the certificate of the server with the keys;
    /// without it, those that the system trusts.
    oauth_cacertfile: Option<PathBuf> = "auth_oauth2.https.cacertfile", default "none";
    reload true

    /// The id of the key for tokens that name none.
    oauth_default_key: Option<String> = "auth_oauth2.default_key", default "none";
    reload true

    /// Whether a token's audience must have `auth_oauth2.resource_server_id` in it.
    oauth_verify_aud: bool = "auth_oauth2.verify_aud", default "true";
    reload true

    /// The algorithms that tokens may be signed by. Those of HMAC (`HS256` and the like) work only
    /// with keys of a file.
    oauth_algorithms: Vec<SigningAlgorithm> = "auth_oauth2.algorithms",
        default "RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,EdDSA";
    reload true

    /// The claims that name the user, the first that there is; behind them `sub` and `client_id`.
    oauth_username_claims: ClaimNames = "auth_oauth2.preferred_username_claims", default "none";
    reload true

    /// Further claims with scopes, separated by spaces; points lead into objects and lists.
    oauth_additional_scopes_key: Option<String> = "auth_oauth2.additional_scopes_key",
        default "none";
    reload true

    /// What scopes for this broker begin with; `default` is `auth_oauth2.resource_server_id` and a
    /// point. It may be empty.
    oauth_scope_prefix: ScopePrefix = "auth_oauth2.scope_prefix", default "default";
    reload true

    /// Whether proxies tell the clients' addresses by the PROXY protocol, version 1 or 2.
    proxy_protocol: bool = "proxy_protocol", default "false";
    reload true

    /// The addresses of these proxies. Each of their connections must begin with a header; one from
    /// any other address is an error.
    proxy_protocol_from: Vec<AddressRange> = "proxy_protocol_from", default "none";
    reload true

    /// The address of the management interface: HTTP API and web pages.
    management_ip: IpAddr = "management.tcp.ip", default "127.0.0.1";
    reload false

    /// The port of the management interface. `auto` is 15672, and no interface if that port is
    /// taken; a number must be free, or the broker does not start, and 0 takes a free port; `none`
    /// turns the interface off.
    management_port: AutoPort = "management.tcp.port", default "auto";
    reload false

    /// The address of the management interface over TLS.
    management_ssl_ip: IpAddr = "management.ssl.ip", default "127.0.0.1";
    reload false

    /// The port of the management interface over TLS, beside the one without. `auto` is 15671, and
    /// none if that port is taken; 0 takes a free port; `none` turns it off.
    management_ssl_port: AutoPort = "management.ssl.port", default "none";
    reload false

    /// The certificate there, in PEM. Without it, it is the one of `ssl_options`, with its key and
    /// its `sni_dir`.
    management_ssl_certfile: Option<PathBuf> = "management.ssl.certfile", default "none";
    reload true

    /// The key of that certificate in PEM, not encrypted.
    management_ssl_keyfile: Option<PathBuf> = "management.ssl.keyfile", default "none";
    reload true

    /// Certificates in PEM of those who may sign clients' certificates there; without it,
    /// `ssl_options.cacertfile`.
    management_ssl_cacertfile: Option<PathBuf> = "management.ssl.cacertfile",
        default "none";
    reload true

    /// Whether clients are asked for a certificate there: `verify_peer` or `verify_none`.
    management_ssl_verify: PeerVerify = "management.ssl.verify", default "verify_none";
    reload true

    /// Whether clients without a certificate are refused there. It needs `verify_peer`.
    management_ssl_fail_if_no_peer_cert: bool = "management.ssl.fail_if_no_peer_cert",
        default "false";
    reload true

    /// What browsers are told over TLS by the header Strict-Transport-Security, such as
    /// `max-age=31536000; includeSubDomains`.
    management_hsts: Option<String> = "management.hsts.policy", default "none";
    reload true

    /// Whether the proxies of `proxy_protocol_from` tell the clients' addresses to the management
    /// interface, too.
    management_proxy_protocol: bool = "management.proxy_protocol", default "false";
    reload true

    /// The address of metrics for Prometheus. They are served to everybody who reaches it.
    metrics_ip: IpAddr = "prometheus.tcp.ip", default "127.0.0.1";
    reload false

    /// The port of metrics. `auto` is 15692, and no metrics if that port is taken; a number must
    /// be free, or the broker does not start, and 0 takes a free port; `none` turns them off.
    metrics_port: AutoPort = "prometheus.tcp.port", default "auto";
    reload false

    /// The OpenTelemetry collector to which spans are sent by OTLP over HTTP, with protocol
    /// buffers: `/v1/traces` is put behind it. Without one, nothing is recorded.
    opentelemetry_endpoint: Option<WebAddress> = "opentelemetry.endpoint", default "none";
    reload false

    /// Which share of the messages that come without a trace begins one; they get a `traceparent`
    /// header. The trace of a message that has one is recorded if its sender says so.
    opentelemetry_sample_ratio: Share = "opentelemetry.sample_ratio", default "0";
    reload false

    /// The name of this service in traces.
    opentelemetry_service_name: String = "opentelemetry.service_name", default "leveret";
    reload false
    /// The address of metrics over TLS.
    metrics_ssl_ip: IpAddr = "prometheus.ssl.ip", default "127.0.0.1";
    reload false

    /// The port of metrics over TLS, beside the one without. `auto` is 15691, and none if
    /// that port is taken; 0 takes a free port; `none` turns it off.
    metrics_ssl_port: AutoPort = "prometheus.ssl.port", default "none";
    reload false

    /// The certificate there, in PEM. Without it, it is the one of `ssl_options`, with its key and
    /// its `sni_dir`.
    metrics_ssl_certfile: Option<PathBuf> = "prometheus.ssl.certfile", default "none";
    reload true

    /// The key of that certificate in PEM, not encrypted.
    metrics_ssl_keyfile: Option<PathBuf> = "prometheus.ssl.keyfile", default "none";
    reload true

    /// Certificates in PEM of those who may sign clients' certificates there; without it,
    /// `ssl_options.cacertfile`.
    metrics_ssl_cacertfile: Option<PathBuf> = "prometheus.ssl.cacertfile",
        default "none";
    reload true

    /// Whether clients are asked for a certificate there: `verify_peer` or `verify_none`.
    metrics_ssl_verify: PeerVerify = "prometheus.ssl.verify", default "verify_none";
    reload true

    /// Whether clients without a certificate are refused there. It needs `verify_peer`.
    metrics_ssl_fail_if_no_peer_cert: bool = "prometheus.ssl.fail_if_no_peer_cert",
        default "false";
    reload true

    /// The directory where definitions and durable messages are kept.
    data_dir: PathBuf = "data_dir", default "./leveret-data";
    reload false

    /// When a confirm is sent: `sync` once the disk has the message, so that it survives a loss of
    /// power; `os` once the operating system has it, so that it survives only the broker's end.
    durability: Durability = "durability", default "sync";
    reload false

    /// Below this much free space on the disk of `data_dir` publishers are blocked.
    disk_free_limit_bytes: u64 = "disk_free_limit.absolute", default "1GiB",
        range range(Unit::Bytes, 0, 1 << 50);
    reload true

    /// The user that a broker without any users is started with; an administrator.
    default_user: String = "default_user", default "guest", aliases &["RABBITMQ_DEFAULT_USER"];
    reload false

    /// The password of that user.
    default_pass: String = "default_pass", default "guest", aliases &["RABBITMQ_DEFAULT_PASS"],
        secret true;
    reload false

    /// The virtual host that a broker without any is started with.
    default_vhost: String = "default_vhost", default "/", aliases &["RABBITMQ_DEFAULT_VHOST"];
    reload false

    /// A file of definitions, as RabbitMQ exports them, that is taken over at each start: what is
    /// missing is added; users, policies and limits are replaced. The broker does not start if an
    /// entry is wrong.
    load_definitions: Option<PathBuf> = "load_definitions", default "none";
    reload false

    /// The product name announced to clients.
    /// Some clients, such as kombu, change their behaviour if it is RabbitMQ.
    product: String = "product", default "Leveret";
    reload true

    /// The name of the cluster announced to clients.
    /// One that is set through the management API counts in its place.
    cluster_name: String = "cluster_name", default "leveret";
    reload true

    /// The name of this node in the management API and in metrics.
    /// Some tools look for one that begins with `rabbit@`.
    node_name: String = "node_name", default "leveret@localhost";
    reload false

    /// How often a connection must show life in both directions. Clients may ask for less; 0 is
    /// never.
    heartbeat: u16 = "heartbeat", default "60", range range(Unit::Seconds, 0, 65_535);
    reload true

    /// The largest frame, in either direction. Clients may ask for less.
    frame_max: u32 = "frame_max", default "131072",
        range range(Unit::Bytes, 8_192, 16_777_216);
    reload true

    /// The most channels a connection may have. Clients may ask for less.
    channel_max: u16 = "channel_max", default "2047", range range(Unit::Count, 1, 65_535);
    reload true

    /// The largest body of a message.
    max_message_size: u64 = "max_message_size", default "16777216",
        range range(Unit::Bytes, 1, 536_870_912);
    reload true

    /// The most headers of a message, those in tables and arrays counted; 0 is no limit but
    /// `frame_max`.
    header_count_max: usize = "header_count_max", default "0",
        range range(Unit::Count, 0, 16_777_216);
    reload true

    /// How deep a message's headers may nest: 1 is no table and no array in them.
    header_depth_max: usize = "header_depth_max", default "64",
        range range(Unit::Count, 1, 64);
    reload true

    /// How long a client has from connecting until its connection is open.
    handshake_timeout: Duration = "handshake_timeout", default "10000",
        range range(Unit::Milliseconds, 100, 600_000);
    reload true

    /// How long a client whose login failed waits for the end of its socket, if it cannot read a
    /// refusal; others are told at once (the capability `authentication_failure_close`).
    login_failure_delay: Duration = "login_failure_delay", default "3000",
        range range(Unit::Milliseconds, 0, 60_000);
    reload true

    /// How long a right password is remembered, so that a client that comes again costs no hash;
    /// 0 is not at all.
    login_cache_ttl: Duration = "login_cache_ttl", default "60000",
        range range(Unit::Milliseconds, 0, 3_600_000);
    reload true

    /// The longest time for which a user who failed to log in from an address is refused there
    /// without a look at the password. It begins with the third failure in a row; 0 is never.
    login_backoff_max: Duration = "login_backoff_max", default "60000",
        range range(Unit::Milliseconds, 0, 3_600_000);
    reload true

    /// Users who can only connect from this machine; `none` is nobody.
    loopback_users: UserNames = "loopback_users", default "guest";
    reload true

    /// The largest frame before a client has logged in.
    initial_frame_max: u32 = "initial_frame_max", default "8192",
        range range(Unit::Bytes, 4_096, 1_048_576);
    reload true

    /// The most connections at a time, over all listeners. Further ones are closed at once.
    connection_max: usize = "connection_max", default "65536",
        range range(Unit::Count, 1, 4_194_304);
    reload true

    /// The most connections from one address at a time (of IPv6, from one /64 network); 0 is no
    /// limit.
    connection_max_per_address: usize = "connection_max_per_address", default "0",
        range range(Unit::Count, 0, 4_194_304);
    reload true

    /// How many connections are accepted a second, after a burst of one second's worth; further
    /// ones wait. 0 is no limit.
    connection_rate_max: u64 = "connection_rate_max", default "5000",
        range range(Unit::Count, 0, 1_000_000);
    reload true

    /// The most connections that have not logged in. When there are as many, the oldest one of the
    /// address that has the most of them is closed.
    unauthenticated_max: usize = "unauthenticated_max", default "1024",
        range range(Unit::Count, 1, 4_194_304);
    reload true

    /// How much a client may send before it has logged in, in TLS and again in AMQP.
    unauthenticated_bytes_max: usize = "unauthenticated_bytes_max", default "16KiB",
        range range(Unit::Bytes, 4_096, 16_777_216);
    reload true

    /// How much all of them may send together: there are never more of them than have room.
    unauthenticated_total_bytes_max: usize = "unauthenticated_total_bytes_max", default "64MiB",
        range range(Unit::Bytes, 65_536, 1 << 40);
    reload true

    /// The most consumers a channel may have.
    consumers_per_channel_max: usize = "consumer_max_per_channel", default "65536",
        range range(Unit::Count, 1, 1_000_000);
    reload true

    /// The most consumers a connection may have, over all its channels.
    consumers_per_connection_max: usize = "consumer_max_per_connection", default "16384",
        range range(Unit::Count, 1, 4_194_304);
    reload true

    /// How long a delivery may wait for its acknowledgement before its channel is closed; 0 is for
    /// ever. Queues may have a time of their own (`x-consumer-timeout`, `consumer-timeout`).
    consumer_timeout: Duration = "consumer_timeout", default "0",
        range range(Unit::Milliseconds, 0, 4_294_967_295);
    reload true

    /// How much may wait to be sent on one connection before its consumers get nothing more.
    out_buffer_max_bytes: usize = "out_buffer_max", default "1MiB",
        range range(Unit::Bytes, 65_536, 1_073_741_824);
    reload false

    /// How long a client may take nothing of what is sent to it before its connection is closed,
    /// also if there are no heartbeats; 0 is for ever.
    send_timeout: Duration = "send_timeout", default "600000",
        range range(Unit::Milliseconds, 0, 4_294_967_295);
    reload true

    /// How much messages may take that are half received, over all connections. Beyond, those that
    /// send large messages wait for one another, and those that stall are closed.
    half_received_max_bytes: usize = "half_received_max", default "256MiB",
        range range(Unit::Bytes, 1 << 20, 1 << 40);
    reload true

    /// How much the publishes of one open transaction may hold.
    transaction_max_bytes: usize = "transaction_max", default "256MiB",
        range range(Unit::Bytes, 65_536, 1 << 40);
    reload true

    /// When the process, or its messages, take more than this, publishers are blocked: a share of
    /// the machine's (or the container's) memory, or bytes (RabbitMQ: `vm_memory_high_watermark`).
    /// A quarter above, nobody gets new definitions, or many channels or consumers. 0 blocks all
    /// publishers at once.
    memory_high_watermark: Watermark = "memory.high_watermark", default "0.6",
        range range(Unit::Bytes, 16_777_216, 1 << 50),
        aliases &["RABBITMQ_VM_MEMORY_HIGH_WATERMARK"];
    reload true

    /// The size of one file of the log that durable messages are written to first.
    log_file_bytes: u64 = "storage.log_file_size", default "64MiB",
        range range(Unit::Bytes, 1 << 20, 4 << 30);
    reload false

    /// The most files that this log has; they are used in turn.
    log_files_max: usize = "storage.log_files", default "16", range range(Unit::Count, 4, 1_024);
    reload false

    /// How much may wait to be written to this log before publishers have to wait, too.
    log_pending_max_bytes: usize = "storage.log_pending_max", default "64MiB",
        range range(Unit::Bytes, 65_536, 1 << 40);
    reload true

    /// How many connections may wait to be accepted.
    tcp_backlog: u32 = "tcp_listen_options.backlog", default "4096",
        range range(Unit::Count, 1, 65_535);
    reload false

    /// Whether small packets are sent at once (TCP_NODELAY).
    tcp_nodelay: bool = "tcp_listen_options.nodelay", default "true";
    reload false

    /// Which events are logged.
    log_level: LogFilter = "log.level", default "info";
    reload true

    /// How events are written to standard error.
    log_format: LogFormat = "log.format", default "text";
    reload false

    /// How many threads serve connections; 0 is one for each core.
    worker_threads: usize = "worker_threads", default "0", range range(Unit::Count, 0, 1_024);
    reload false
}
