//! The command line's part of the configuration: one flag a key, `--set` and `--config`.
//!
//! Written by hand against clap's builder since the flags come from the table of keys.

use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::error::Error;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

use super::error::Problem;
use super::keys::{self, KEYS, Key};
use super::setting::Raw;
use super::suggest;
use super::{Layer, Source};

const FILE: &str = "config_file";
const SET: &str = "set";

/// What the command line says of the configuration.
#[derive(Clone, Debug, Default)]
pub struct ConfigArgs {
    /// The file of `--config`.
    pub file: Option<PathBuf>,
    /// Flags in the order in which they were written; a later one wins.
    given: Vec<Given>,
}

/// One flag with its value or values.
#[derive(Clone, Debug)]
struct Given {
    /// Position on the command line.
    index: usize,
    /// The key's name; not yet known to exist if it came by `--set`.
    name: String,
    raw: Raw,
    flag: String,
}

impl ConfigArgs {
    /// The values by key. Unknown keys go to `problems`.
    pub(super) fn layer(&self, problems: &mut Vec<Problem>) -> Layer {
        let mut layer = Layer::new();
        for given in &self.given {
            let source = Source::Flag(given.flag.clone());
            match keys::find(&given.name) {
                Some(key) => drop(layer.insert(key.name, (given.raw.clone(), source))),
                None => {
                    let hint = suggest::hint(&given.name, KEYS.iter().map(|key| key.name));
                    let text = format!("unknown key `{}`{hint}", given.name);
                    problems.push(Problem::new(source, text));
                }
            }
        }
        layer
    }

    fn read(&mut self, matches: &ArgMatches) {
        self.file = matches.get_one::<PathBuf>(FILE).cloned();
        for key in KEYS {
            self.given.extend(own_flag(key, matches));
        }
        let pairs = matches.get_many::<(String, String)>(SET).into_iter().flatten();
        for (index, (name, value)) in matches.indices_of(SET).into_iter().flatten().zip(pairs) {
            self.given.push(Given {
                index,
                name: name.clone(),
                raw: Raw::Untyped(value.clone()),
                flag: format!("--set {name}"),
            });
        }
        self.given.sort_by_key(|given| given.index);
    }
}

/// The value of a key's own flag: all its values for a list, the last one otherwise.
fn own_flag(key: &'static Key, matches: &ArgMatches) -> Option<Given> {
    let values = matches.get_many::<String>(key.name)?.cloned();
    let index = matches.indices_of(key.name)?.max()?;
    let mut values: Vec<Raw> = values.map(Raw::Untyped).collect();
    let raw = if key.is_list() { Raw::List(values) } else { values.pop()? };
    Some(Given { index, name: key.name.to_owned(), raw, flag: key.flag().to_owned() })
}

impl FromArgMatches for ConfigArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut arguments = ConfigArgs::default();
        arguments.read(matches);
        Ok(arguments)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.read(matches);
        Ok(())
    }
}

impl Args for ConfigArgs {
    fn augment_args(command: Command) -> Command {
        let command = command
            .next_help_heading("Configuration")
            .arg(
                Arg::new(FILE)
                    .long("config")
                    .value_name("FILE")
                    .value_parser(value_parser!(PathBuf))
                    .help("Configuration file (TOML) [env: LEVERET_CONFIG]"),
            )
            .arg(
                Arg::new(SET)
                    .long("set")
                    .value_name("KEY=VALUE")
                    .action(ArgAction::Append)
                    .value_parser(ValueParser::new(key_and_value))
                    .help("Set any configuration key; may be repeated, the last one wins"),
            );
        KEYS.iter().fold(command, |command, key| command.arg(flag_of(key)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The flag of one key.
fn flag_of(key: &'static Key) -> Arg {
    let lines = key.doc_lines();
    let names = key.environment_names().join(", ");
    let facts = format!("[key: {}] [env: {names}] [default: {}]", key.name, key.default_text());
    Arg::new(key.name)
        .long(key.flag().trim_start_matches("--"))
        .value_name(key.value_name())
        .action(ArgAction::Append)
        .help(lines.first().copied().unwrap_or_default().to_owned())
        .long_help(format!("{}\n{facts}", lines.join("\n")))
}

/// Splits `KEY=VALUE`.
fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_owned(), value.to_owned())),
        None => Err("expected KEY=VALUE, such as heartbeat=30".to_owned()),
    }
}
