//! `leveret logs`: the end of the broker's log.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::messages::need_leveret;
use crate::cli::Operation;
use crate::cli::api::Target;
use crate::cli::session::Session;
use crate::cli::table::{Form, cell, harmless};

/// How often a log that is followed is looked at.
const PAUSE: Duration = Duration::from_secs(1);

/// Which lines matter.
#[derive(Clone, Copy, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Arguments of `leveret logs`.
#[derive(Args)]
pub struct Logs {
    /// How many lines
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 50)]
    count: u32,

    /// Lines of this level and above
    #[arg(long, value_enum, default_value_t = Level::Info)]
    level: Level,

    /// Go on with what comes, until interrupted
    #[arg(short, long)]
    follow: bool,
}

fn line(entry: &Value) -> String {
    let text = |key: &str| cell(&entry[key], Form::Plain);
    let level = text("level").to_uppercase();
    let (time, target) = (cell(&entry["time"], Form::Time), text("target"));
    let fields = match &entry["fields"] {
        Value::Object(fields) if !fields.is_empty() => format!(" {}", text("fields")),
        _ => String::new(),
    };
    let message = harmless(entry["message"].as_str().unwrap_or_default());
    let message = if message.is_empty() { message } else { format!(" {message}") };
    format!("{time} {level:>5} {target}:{message}{fields}\n")
}

impl Operation for Logs {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        let level = self.level.to_possible_value();
        let level = level.as_ref().map_or("info", |level| level.get_name());
        let mut after: Option<u64> = None;
        loop {
            let mut target = Target::new("log of its own", &["leveret", "logs"])
                .query("level", level)
                .query("count", &self.count.max(1).to_string());
            if let Some(after) = after {
                target = target.query("after", &after.to_string());
            }
            let answer = session.client.get(&target);
            let answer = answer.map_err(|error| need_leveret(session, error))?;
            for entry in answer["entries"].as_array().into_iter().flatten() {
                match session.json {
                    true => crate::print(&format!("{entry}\n"))?,
                    false => crate::print(&line(entry))?,
                }
            }
            if !self.follow {
                return Ok(());
            }
            let last = answer["entries"].as_array().and_then(|all| all.last());
            after =
                last.and_then(|entry| entry["id"].as_u64()).or(after).or(answer["last"].as_u64());
            std::thread::sleep(PAUSE);
        }
    }
}
