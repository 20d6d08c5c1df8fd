//! What holds for every verb.

use clap::{Command, CommandFactory};

use crate::Cli;

/// Calls `look` with each command that does something, and its words.
fn each_verb(command: &Command, words: &str, look: &mut impl FnMut(&Command, &str)) {
    let below: Vec<&Command> =
        command.get_subcommands().filter(|below| below.get_name() != "help").collect();
    if below.is_empty() {
        look(command, words);
    }
    for command in below {
        each_verb(command, &format!("{words} {}", command.get_name()), look);
    }
}

fn built() -> Command {
    let mut command = Cli::command();
    command.build();
    command
}

#[test]
fn every_verb_has_help_that_says_what_it_does() {
    Cli::command().debug_assert();
    let mut count = 0;
    each_verb(&built(), "leveret", &mut |command, words| {
        count += 1;
        let about = command.get_about().expect(words).to_string();
        let help = command.clone().render_long_help().to_string();
        assert!(help.starts_with(&about) && help.contains("Usage: "), "{words}: {help}");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{words}: {} has no help", argument.get_id());
        }
    });
    assert!(count >= 80, "{count}");
}

#[test]
fn the_document_names_every_verb() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
    let document = std::fs::read_to_string(path).unwrap();
    let mut missing = Vec::new();
    each_verb(&built(), "leveret", &mut |_, words| {
        let named = |end| document.contains(&format!("`{words}{end}"));
        if !(named("`") || named(" ")) {
            missing.push(words.to_owned());
        }
    });
    assert!(missing.is_empty(), "docs/cli.md does not name {missing:#?}");
}

#[test]
fn completion_and_manual_pages_are_generated() {
    for shell in ["bash", "zsh", "fish"] {
        let mut script = Vec::new();
        let shell: clap_complete::Shell = shell.parse().unwrap();
        clap_complete::generate(shell, &mut Cli::command(), "leveret", &mut script);
        let script = String::from_utf8(script).unwrap();
        assert!(script.contains("operator-policies") && script.contains("purge"), "{shell}");
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page).unwrap();
    assert!(String::from_utf8(page).unwrap().contains("leveret"));
}
