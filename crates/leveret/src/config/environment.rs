//! The environment: `LEVERET_` and the key's name, and the names that RabbitMQ's users have set.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::error::Problem;
use super::keys::{KEYS, Key};
use super::setting::Raw;
use super::suggest;
use super::{Layer, Source};

/// The environment as it was when it was read.
pub type Variables = BTreeMap<OsString, OsString>;

/// The variable that names the configuration file; it is no key.
const CONFIG_FILE: &str = "LEVERET_CONFIG";

/// The variables of the verbs that ask a running broker; they are no keys either.
const VERBS: [&str; 5] =
    ["LEVERET_URL", "LEVERET_USER", "LEVERET_PASSWORD", "LEVERET_VHOST", "LEVERET_CA_FILE"];

/// What Kubernetes sets in every pod if a service happens to be called `leveret`.
const SERVICE_PREFIXES: [&str; 2] = ["LEVERET_SERVICE_", "LEVERET_PORT"];

/// What the environment says.
#[derive(Default)]
pub struct Environment {
    /// The values of keys.
    pub layer: Layer,
    /// The file named by `LEVERET_CONFIG`.
    pub config_file: Option<PathBuf>,
    /// Variables that look like ours and are not.
    pub warnings: Vec<String>,
}

/// Reads the variables that are ours. An empty variable counts as not set.
pub fn read(variables: &Variables, problems: &mut Vec<Problem>) -> Environment {
    let set = |name: &str| {
        let value = variables.get(&OsString::from(name))?;
        (!value.is_empty()).then(|| value.clone())
    };
    let mut environment =
        Environment { config_file: set(CONFIG_FILE).map(PathBuf::from), ..Environment::default() };
    for key in KEYS {
        let found = key.environment_names().into_iter().find_map(|name| Some((set(&name)?, name)));
        let Some((value, name)) = found else { continue };
        let source = Source::Environment(name);
        match value.into_string() {
            Ok(text) => drop(environment.layer.insert(key.name, (Raw::Untyped(text), source))),
            Err(_) => problems.push(Problem::new(source, "the value is not UTF-8")),
        }
    }
    environment.warnings = variables
        .keys()
        .filter_map(|name| name.to_str())
        .filter(|name| is_unknown(name))
        .map(|name| {
            let known: Vec<String> = KEYS.iter().map(Key::environment_name).collect();
            let hint = suggest::hint(name, known.iter().map(String::as_str));
            format!("environment variable {name} is not known and has no effect{hint}")
        })
        .collect();
    environment
}

/// Whether a variable claims to be ours and is none of ours.
fn is_unknown(name: &str) -> bool {
    name.starts_with("LEVERET_")
        && name != CONFIG_FILE
        && !VERBS.contains(&name)
        && !SERVICE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        && !KEYS.iter().any(|key| key.environment_name() == name)
}
