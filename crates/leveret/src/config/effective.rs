//! The effective configuration as a TOML file that explains itself.

use std::fmt::Write;

use super::keys::Key;
use super::{Loaded, Source};

/// The whole configuration as TOML: each key with its explanation and its origin.
///
/// The output can be used as a configuration file. Secrets are left out unless asked for.
pub fn to_toml(loaded: &Loaded, show_secrets: bool) -> String {
    let mut out = String::from("# The configuration in effect. Every key that exists is here.\n");
    for (key, value) in loaded.config.entries() {
        let source = loaded.origins.get(key.name).unwrap_or(&Source::Default);
        // Writing to a string cannot fail.
        let _ = entry(&mut out, key, &value, source, show_secrets);
    }
    out
}

fn entry(
    out: &mut String,
    key: &Key,
    value: &str,
    source: &Source,
    show_secrets: bool,
) -> std::fmt::Result {
    writeln!(out)?;
    for line in key.doc_lines() {
        writeln!(out, "# {line}")?;
    }
    writeln!(out, "# Expected: {}. Default: {}.", key.expected(), key.default_text())?;
    let when = if key.reloadable { "on SIGHUP" } else { "after a restart" };
    let environment = key.environment_names().join(", ");
    writeln!(out, "# Takes effect {when}. Flag: {}. Environment: {environment}.", key.flag())?;
    writeln!(out, "# From: {source}")?;
    if key.secret && !show_secrets {
        return writeln!(out, "# {} is hidden; --show-secrets prints it.", key.name);
    }
    writeln!(out, "{} = {value}", key.name)
}
