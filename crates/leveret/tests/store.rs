//! `leveret store` as a user meets it, on directories that are no stores or damaged ones.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::path::PathBuf;
use std::process::{Command, Output};

/// Runs `leveret store` with an environment that holds nothing of ours.
fn store(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leveret"));
    for (name, _) in std::env::vars() {
        if name.starts_with("LEVERET_") {
            command.env_remove(name);
        }
    }
    command.arg("store").args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A new directory of this test, by the test's name.
fn directory(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("store-{name}"));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

#[test]
fn the_exit_code_of_a_check_says_what_it_found() {
    let output = store(&["check", "--data-dir", "/nonexistent/leveret"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no data directory at /nonexistent"), "{}", stderr(&output));

    let path = directory("check");
    let path_text = path.to_str().unwrap();
    let output = store(&["check", "--data-dir", path_text]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).contains("this is no data directory"), "{}", stdout(&output));

    std::fs::write(path.join("manifest"), [7; 100]).unwrap();
    let output = store(&["check", "--data-dir", path_text]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).starts_with("DAMAGE      manifest: "), "{}", stdout(&output));
    assert!(stdout(&output).trim_end().ends_with("DAMAGED (findings: 1)"), "{}", stdout(&output));
    let names: Vec<_> = std::fs::read_dir(&path).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing was written");
}

#[test]
fn the_directory_of_the_environment_is_looked_at() {
    let path = directory("environment");
    let mut command = Command::new(env!("CARGO_BIN_EXE_leveret"));
    let command = command.env("LEVERET_DATA_DIR", &path).args(["store", "inspect"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains(path.to_str().unwrap()), "{}", stdout(&output));
    let output = store(&["inspect", "--json", "--data-dir", path.to_str().unwrap()]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["findings"][0]["severity"], "unreadable");
    assert!(value["manifest"].is_null());
}

#[test]
fn a_salvage_needs_a_target_outside_and_overwrites_nothing() {
    let path = directory("salvage");
    let path_text = path.to_str().unwrap();
    let output = store(&["salvage", "--data-dir", path_text]);
    assert!(!output.status.success() && stderr(&output).contains("--publish"));

    let inside = path.join("out.jsonl");
    let arguments = ["salvage", "--data-dir", path_text, "--out", inside.to_str().unwrap()];
    let output = store(&arguments);
    assert!(!output.status.success() && !inside.exists());
    assert!(stderr(&output).contains("is left alone"), "{}", stderr(&output));

    let outside = directory("salvaged").join("out.jsonl");
    let arguments = ["salvage", "--data-dir", path_text, "--out", outside.to_str().unwrap()];
    assert!(store(&arguments).status.success());
    assert_eq!(std::fs::read(&outside).unwrap(), b"");
    let output = store(&arguments);
    assert!(!output.status.success() && stderr(&output).contains("exists"), "{}", stderr(&output));
}
