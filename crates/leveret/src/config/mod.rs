//! The configuration: what may be set, where it may be set, and what is in effect.
//!
//! Every key is declared once, in `keys.rs`. From that table come the typed [`Config`], the parsing
//! of the file, the environment and the flags, the text of `--help`, and the output of
//! `leveret config`. Flags beat the environment, the environment beats the file, the file beats the
//! defaults.
//!
//! This is our own code over `toml`, since no layering library that is widely used names the line,
//! the column and the nearest key when a key is not known.

mod arguments;
mod effective;
mod environment;
mod error;
mod file;
mod keys;
mod listener_setting;
mod memory;
mod oauth_setting;
mod reference;
mod setting;
mod suggest;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use leveret_server::WebAddress;

pub use arguments::ConfigArgs;
pub use effective::to_toml;
use error::Problem;
pub use error::Problems;
pub use keys::{Config, Key};
pub use listener_setting::{LoginFrom, PeerVerify};
pub use memory::machine_memory_bytes;
pub use reference::reference;
use setting::Raw;
pub use setting::{LogFilter, LogFormat};

/// Where the value of a key came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// No one set it.
    Default,
    /// The configuration file, with the line (from 1).
    File {
        /// The file as it was named to us.
        path: PathBuf,
        /// The line of the key in it, from 1.
        line: usize,
    },
    /// An environment variable, by its name.
    Environment(String),
    /// A flag, as it is written on the command line.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File { path, line } => write!(f, "{}:{line}", path.display()),
            Source::Environment(name) => write!(f, "environment {name}"),
            Source::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// What one source sets: the raw value by the key's name, and the exact place.
type Layer = BTreeMap<&'static str, (Raw, Source)>;

/// A configuration that is in effect, with the origin of each value.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The typed values.
    pub config: Config,
    /// The origin by the key's name; a key that is absent has its default.
    pub origins: BTreeMap<&'static str, Source>,
    /// What the user should hear of although it is not an error, such as an unknown variable.
    pub warnings: Vec<String>,
}

/// Reads all sources and merges them; reports all mistakes of all sources at once.
pub fn load(arguments: &ConfigArgs) -> Result<Loaded, Problems> {
    load_with_environment(arguments, std::env::vars_os().collect())
}

/// [`load`] with the environment passed in.
fn load_with_environment(
    arguments: &ConfigArgs,
    variables: environment::Variables,
) -> Result<Loaded, Problems> {
    let mut problems = Vec::new();
    let environment = environment::read(&variables, &mut problems);
    let path = arguments.file.clone().or(environment.config_file);
    let from_file = path.map(|path| file::read(&path, &mut problems)).unwrap_or_default();
    let from_flags = arguments.layer(&mut problems);

    let mut merged = Layer::new();
    for layer in [from_file, environment.layer, from_flags] {
        check(&layer, &mut problems);
        merged.extend(layer);
    }
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let config = Config::build(&merged).map_err(Problems::one)?;
    check_together(&config, &merged)?;
    let origins = merged.into_iter().map(|(name, (_, source))| (name, source)).collect();
    Ok(Loaded { config, origins, warnings: environment.warnings })
}

/// Reports the values of one layer that do not fit their keys, even if a higher layer hides them.
fn check(layer: &Layer, problems: &mut Vec<Problem>) {
    for (name, (raw, source)) in layer {
        let Some(key) = keys::find(name) else { continue };
        if let Err(problem) = key.check(raw, source) {
            problems.push(problem);
        }
    }
}

/// The rules of what stands between a socket and a session.
fn check_listeners(config: &Config, source: impl Fn(&str) -> Source) -> Vec<Problem> {
    let tls = !config.amqps_listen.is_empty();
    let verifies = config.ssl_verify == PeerVerify::Peer;
    let rules = [
        (
            tls && (config.ssl_certfile.is_none() || config.ssl_keyfile.is_none()),
            "amqps_listen",
            "it needs ssl_options.certfile and ssl_options.keyfile",
        ),
        (
            verifies && config.ssl_cacertfile.is_none(),
            "ssl_options.verify",
            "verify_peer needs ssl_options.cacertfile",
        ),
        (
            config.ssl_fail_if_no_peer_cert && !verifies,
            "ssl_options.fail_if_no_peer_cert",
            "it needs ssl_options.verify to be \"verify_peer\"",
        ),
        (
            config.proxy_protocol && config.proxy_protocol_from.is_empty(),
            "proxy_protocol",
            "proxy_protocol_from must say from where",
        ),
        (
            config.oauth_resource_server_id.is_some() && !has_token_keys(config),
            "auth_oauth2.resource_server_id",
            "keys must come from auth_oauth2.jwks_url, auth_oauth2.jwks_file or, as an address, \
             auth_oauth2.issuer",
        ),
    ];
    let broken = rules.into_iter().filter(|(broken, ..)| *broken);
    broken.map(|(_, key, text)| Problem::new(source(key), format!("{key}: {text}"))).collect()
}

/// Whether there is a source of keys for tokens.
fn has_token_keys(config: &Config) -> bool {
    let issuer = config.oauth_issuer.as_deref();
    let discovers = issuer.is_some_and(|issuer| issuer.parse::<WebAddress>().is_ok());
    discovers || config.oauth_jwks_url.is_some() || config.oauth_jwks_file.is_some()
}

/// The rules that no single key's type can hold.
fn check_together(config: &Config, merged: &Layer) -> Result<(), Problems> {
    let source =
        |name: &str| merged.get(name).map_or(Source::Default, |(_, source)| source.clone());
    let mut problems = Vec::new();
    problems.extend(check_listeners(config, source));
    if config.initial_frame_max > config.frame_max {
        let set = ["initial_frame_max", "frame_max"].into_iter().find(|n| merged.contains_key(n));
        let text = format!(
            "initial_frame_max ({}) must not be larger than frame_max ({})",
            config.initial_frame_max, config.frame_max
        );
        problems.push(Problem::new(source(set.unwrap_or_default()), text));
    }
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}

/// One key whose value differs between two configurations.
#[derive(Clone, Debug)]
pub struct Change {
    /// The key.
    pub key: &'static Key,
    /// The old value as TOML; hidden if it is a secret.
    pub old: String,
    /// The new value as TOML; hidden if it is a secret.
    pub new: String,
}

/// What differs from `old` to `new`, in the order of the table.
pub fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let hide = |key: &Key, text: String| if key.secret { "(hidden)".to_owned() } else { text };
    old.entries()
        .into_iter()
        .zip(new.entries())
        .filter(|((_, old), (_, new))| old != new)
        .map(|((key, old), (_, new))| Change { key, old: hide(key, old), new: hide(key, new) })
        .collect()
}
