//! Passwords: asked for on the terminal without being shown, or read from standard input.

use std::io::{BufRead, IsTerminal};

use anyhow::{Context, ensure};

/// The next line of standard input, without its end.
pub(super) fn line() -> anyhow::Result<String> {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    let read = read.context("reading a password from standard input")?;
    ensure!(read > 0, "standard input ended before there was a password");
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// Asks on the terminal.
pub(super) fn ask(prompt: &str) -> anyhow::Result<String> {
    ensure!(std::io::stdin().is_terminal(), "there is no terminal to ask on");
    rpassword::prompt_password(prompt).context("asking for a password")
}

/// A password that is to be set: asked for twice on a terminal, else the next line of standard
/// input.
pub(super) fn new_password(user: &str) -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() {
        return line();
    }
    let password = ask(&format!("New password of {user}: "))?;
    ensure!(password == ask("Again: ")?, "the two passwords are not the same");
    Ok(password)
}
