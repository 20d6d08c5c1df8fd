//! The reference of all keys as a chapter of the book, `docs/configuration.md`.

use std::fmt::Write;

use super::keys::{KEYS, Key};

const HEAD: &str = "\
# Configuration

<!-- Made by `leveret config --reference`, from the table in crates/leveret/src/config/keys.rs. -->

A key may be set in a file (`--config FILE` or `LEVERET_CONFIG`; TOML), in the environment, by its
flag, or by `--set KEY=VALUE`. Flags beat the environment, the environment beats the file, the file
beats the defaults. In the file `log.level = \"info\"` and a table `[log]` with `level = \"info\"`
are the same. Sizes take units (`64MiB`), times too (`250ms`, `10s`, `2m`).

`leveret config` prints what is in effect and where each value came from; `leveret config --check`
only says whether it is valid. A key that does not exist, or a value that does not fit, is an error
at the start, with its place and what was probably meant. SIGHUP reads everything again; a key that
only takes effect after a restart is named in the log then.
";

/// All keys in the order of the table, as Markdown.
pub fn reference() -> String {
    let mut out = String::from(HEAD);
    for key in KEYS {
        // Writing to a string cannot fail.
        let _ = section(&mut out, key);
    }
    out
}

fn section(out: &mut String, key: &Key) -> std::fmt::Result {
    writeln!(out, "\n## `{}`\n", key.name)?;
    for line in key.doc_lines() {
        writeln!(out, "{line}")?;
    }
    let environment: Vec<String> =
        key.environment_names().iter().map(|name| format!("`{name}`")).collect();
    let when = if key.reloadable { "at SIGHUP" } else { "after a restart" };
    writeln!(out, "\n- Value: {}", key.expected())?;
    writeln!(out, "- Default: `{}`", key.default_text())?;
    writeln!(out, "- Flag: `{} {}`", key.flag(), key.value_name())?;
    writeln!(out, "- Environment: {}", environment.join(", "))?;
    writeln!(out, "- A change takes effect {when}")
}
