//! Tests of the configuration as a whole.

use std::collections::BTreeMap;
use std::path::Path;

use leveret_server::Durability;

use super::keys::KEYS;
use super::setting::{Raw, Watermark};
use super::*;

fn parse_file(text: &str) -> (Layer, Vec<String>) {
    let mut problems = Vec::new();
    let layer = file::parse(Path::new("leveret.toml"), text, &mut problems);
    (layer, problems.iter().map(Problem::to_string).collect())
}

fn config_of(text: &str) -> Config {
    let (layer, problems) = parse_file(text);
    assert!(problems.is_empty(), "{problems:?}");
    Config::build(&layer).unwrap()
}

#[test]
fn every_default_fits_its_key_and_no_name_is_used_twice() {
    let config = Config::build(&Layer::new()).unwrap();
    assert_eq!(config.entries().len(), KEYS.len());
    let mut names: Vec<String> = KEYS.iter().flat_map(Key::environment_names).collect();
    names.extend(KEYS.iter().map(|key| key.flag().to_owned()));
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn tables_and_dotted_names_are_the_same() {
    let dotted = config_of("log.level = 'debug'\ntcp_listen_options.backlog = 7");
    let tables = config_of("[log]\nlevel = 'debug'\n[tcp_listen_options]\nbacklog = 7");
    assert_eq!(dotted.entries(), tables.entries());
    assert_eq!(tables.tcp_backlog, 7);
}

#[test]
fn an_unknown_key_names_line_column_and_the_nearest_key() {
    let (_, problems) = parse_file("heartbeat = 5\n  hartbeat = 5\n[log]\nlevle = 'info'\n");
    assert_eq!(
        problems,
        [
            "leveret.toml:2:3: unknown key `hartbeat`; did you mean `heartbeat`?",
            "leveret.toml:4:1: unknown key `log.levle`; did you mean `log.level`?",
        ]
    );
}

#[test]
fn a_bad_value_names_its_place_and_what_is_expected() {
    let (_, problems) = parse_file("heartbeat = 'often'\n[frame_max]\n");
    assert_eq!(
        problems,
        [
            "leveret.toml:2:1: frame_max: expected bytes from 8192 to 16777216; units such as \
             \"16MiB\" are understood, found a table",
            "leveret.toml:1:13: heartbeat: expected seconds from 0 to 65535; units such as \
             \"10s\" are understood, found \"often\"",
        ]
    );
    let (_, problems) = parse_file("heartbeat = = 5");
    assert!(problems[0].starts_with("leveret.toml:1:13: "), "{problems:?}");
}

#[test]
fn the_value_of_a_secret_is_not_in_its_error() {
    let (_, problems) = parse_file("default_pass = 12345678");
    assert!(problems[0].contains("default_pass"), "{problems:?}");
    assert!(!problems[0].contains("12345678"), "{problems:?}");
}

#[test]
fn units_are_understood() {
    let config = config_of(
        "max_message_size = '2MiB'\nheartbeat = '2m'\nhandshake_timeout = '5s'\n\
         login_failure_delay = '250ms'\nmemory.high_watermark = '1GiB'\nframe_max = 0x4000\n",
    );
    assert_eq!(config.max_message_size, 2 << 20);
    assert_eq!(config.heartbeat, 120);
    assert_eq!(config.handshake_timeout.as_millis(), 5_000);
    assert_eq!(config.login_failure_delay.as_millis(), 250);
    assert_eq!(config.memory_high_watermark, Watermark::Bytes(1 << 30));
    for none in ["0", "0.0"] {
        let config = config_of(&format!("memory.high_watermark = {none}"));
        assert_eq!(config.memory_high_watermark, Watermark::Share(0.0));
    }
    assert_eq!(config.frame_max, 0x4000);
    for wrong in ["heartbeat = '1GiB'", "heartbeat = -1", "heartbeat = '1500ms'", "product = 5"] {
        assert_eq!(parse_file(wrong).1.len(), 1, "{wrong}");
    }
}

#[test]
fn the_store_has_its_keys() {
    let config = config_of("");
    assert_eq!(config.durability, Durability::Sync);
    assert_eq!(config.disk_free_limit_bytes, 1 << 30);
    assert_eq!((config.log_file_bytes, config.log_files_max), (64 << 20, 16));
    assert_eq!(config.log_pending_max_bytes, 64 << 20);
    let config = config_of(
        "durability = 'os'\ndisk_free_limit.absolute = '2GiB'\n\
         [storage]\nlog_file_size = '1MiB'\nlog_files = 4\nlog_pending_max = '1MiB'\n",
    );
    assert_eq!(config.durability, Durability::Os);
    assert_eq!(config.disk_free_limit_bytes, 2 << 30);
    assert_eq!((config.log_file_bytes, config.log_files_max), (1 << 20, 4));
    assert_eq!(config.log_pending_max_bytes, 1 << 20);
    let wrong = ["durability = 'never'", "durability = true", "storage.log_files = 3"];
    for wrong in wrong.into_iter().chain(["storage.log_file_size = '5GiB'"]) {
        assert_eq!(parse_file(wrong).1.len(), 1, "{wrong}");
    }
    let new = config_of("durability = 'os'\ndisk_free_limit.absolute = 1");
    let reloaded = config_of("").reloaded(&new);
    assert_eq!((reloaded.durability, reloaded.disk_free_limit_bytes), (Durability::Sync, 1));
}

#[test]
fn listeners_may_be_one_several_or_none() {
    assert_eq!(config_of("amqp_listen = 'none'").amqp_listen, []);
    assert_eq!(config_of("amqp_listen = []").amqp_listen, []);
    let two = "amqp_listen = ['127.0.0.1:1', '[::1]:2']";
    assert_eq!(config_of(two).amqp_listen.len(), 2);
    assert_eq!(config_of("amqp_listen = '127.0.0.1:1, [::1]:2'").amqp_listen.len(), 2);
    assert_eq!(parse_file("amqp_listen = ':5672'").1.len(), 1);
}

#[test]
fn the_effective_configuration_reads_back_as_itself() {
    let (layer, _) = parse_file("product = 'quoted \"and\" \\ more'\nmemory.high_watermark = 1\n");
    let config = Config::build(&layer).unwrap();
    let loaded = Loaded { config, origins: BTreeMap::new(), warnings: Vec::new() };
    let again = config_of(&to_toml(&loaded, true));
    assert_eq!(again.entries(), loaded.config.entries());
    assert!(!to_toml(&loaded, false).contains("default_pass ="));
}

#[test]
fn rabbitmqs_variables_count_and_ours_beat_them() {
    let variables = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    };
    let mut problems = Vec::new();
    let read = environment::read(
        &variables(&[
            ("RABBITMQ_DEFAULT_USER", "theirs"),
            ("RABBITMQ_DEFAULT_VHOST", "theirs"),
            ("LEVERET_DEFAULT_VHOST", "ours"),
            ("LEVERET_HEARTBEAT", ""),
            ("LEVERET_HARTBEAT", "5"),
            ("LEVERET_PORT_5672_TCP", "kubernetes"),
        ]),
        &mut problems,
    );
    assert!(problems.is_empty());
    assert_eq!(read.layer["default_user"].0, Raw::Untyped("theirs".to_owned()));
    assert_eq!(read.layer["default_vhost"].0, Raw::Untyped("ours".to_owned()));
    assert!(!read.layer.contains_key("heartbeat"));
    assert_eq!(read.warnings.len(), 1);
    assert!(read.warnings[0].ends_with("did you mean `LEVERET_HEARTBEAT`?"));
}

#[test]
fn a_small_frame_max_with_a_larger_initial_one_is_refused() {
    let variables = [("LEVERET_INITIAL_FRAME_MAX", "16384"), ("LEVERET_FRAME_MAX", "8192")];
    let variables = variables.map(|(name, value)| (name.into(), value.into())).into();
    let error = load_with_environment(&ConfigArgs::default(), variables).unwrap_err().to_string();
    assert!(error.contains("environment LEVERET_INITIAL_FRAME_MAX: "), "{error}");
}

#[test]
fn a_reload_takes_the_new_value_only_of_reloadable_keys() {
    let old = config_of("heartbeat = 10\nworker_threads = 1\ndefault_pass = 'a'");
    let new = config_of("heartbeat = 20\nworker_threads = 2\ndefault_pass = 'b'");
    let changed = changes(&old, &new);
    let names: Vec<&str> = changed.iter().map(|change| change.key.name).collect();
    assert_eq!(names, ["default_pass", "heartbeat", "worker_threads"]);
    assert_eq!((changed[0].old.as_str(), changed[1].new.as_str()), ("(hidden)", "20"));
    let merged = old.reloaded(&new);
    assert_eq!((merged.heartbeat, merged.worker_threads), (20, 1));
}

#[test]
fn log_levels_are_checked() {
    for good in ["info", "warning", "info,leveret_server=debug", "none"] {
        config_of(&format!("log.level = '{good}'"));
    }
    for bad in ["inof", "", "info,leveret_server=loud"] {
        assert_eq!(parse_file(&format!("log.level = '{bad}'")).1.len(), 1, "{bad}");
    }
}
