//! The verbs of `rabbitmqctl`, `rabbitmq-diagnostics` and `rabbitmqadmin` by their names: each
//! becomes a verb of ours, whose arguments stand in the same order.
//!
//! They are not shown in help and completion, so that there is one way that people learn.

use std::ffi::OsString;

use clap::Args;

use super::session::SessionArgs;

/// Their words, and ours.
const NAMES: &[(&str, &str)] = &[
    ("list_queues", "queues list"),
    ("declare_queue", "queues declare"),
    ("delete_queue", "queues delete"),
    ("purge_queue", "queues purge"),
    ("list_exchanges", "exchanges list"),
    ("declare_exchange", "exchanges declare"),
    ("delete_exchange", "exchanges delete"),
    ("list_bindings", "bindings list"),
    ("declare_binding", "bindings declare"),
    ("delete_binding", "bindings delete"),
    ("list_connections", "connections list"),
    ("close_connection", "connections close"),
    ("close_all_user_connections", "connections close --of-user"),
    ("list_channels", "channels list"),
    ("list_consumers", "consumers list"),
    ("list_vhosts", "vhosts list"),
    ("add_vhost", "vhosts add"),
    ("declare_vhost", "vhosts add"),
    ("delete_vhost", "vhosts delete"),
    ("list_users", "users list"),
    ("add_user", "users add"),
    ("declare_user", "users add"),
    ("delete_user", "users delete"),
    ("change_password", "users change-password"),
    ("set_user_tags", "users set-tags"),
    ("authenticate_user", "users authenticate"),
    ("list_permissions", "permissions list"),
    ("list_user_permissions", "permissions list --of-user"),
    ("set_permissions", "permissions set"),
    ("clear_permissions", "permissions clear"),
    ("list_topic_permissions", "topic-permissions list"),
    ("list_user_topic_permissions", "topic-permissions list --of-user"),
    ("set_topic_permissions", "topic-permissions set"),
    ("clear_topic_permissions", "topic-permissions clear"),
    ("list_policies", "policies list"),
    ("set_policy", "policies set"),
    ("clear_policy", "policies clear"),
    ("list_operator_policies", "operator-policies list"),
    ("set_operator_policy", "operator-policies set"),
    ("clear_operator_policy", "operator-policies clear"),
    ("list_parameters", "parameters list"),
    ("set_parameter", "parameters set"),
    ("clear_parameter", "parameters clear"),
    ("list_global_parameters", "global-parameters list"),
    ("set_global_parameter", "global-parameters set"),
    ("clear_global_parameter", "global-parameters clear"),
    ("list_vhost_limits", "limits list-vhosts"),
    ("set_vhost_limits", "limits set-vhost"),
    ("clear_vhost_limits", "limits clear-vhost"),
    ("list_user_limits", "limits list-users"),
    ("set_user_limits", "limits set-user"),
    ("clear_user_limits", "limits clear-user"),
    ("export_definitions", "definitions export"),
    ("import_definitions", "definitions import"),
    ("list_feature_flags", "feature-flags list"),
    ("cluster_status", "nodes list"),
    ("check_alarms", "health alarms"),
    ("check_local_alarms", "health local-alarms"),
    ("check_virtual_hosts", "health virtual-hosts"),
    ("check_if_node_is_quorum_critical", "health quorum"),
    ("check_port_listener", "health --port"),
    ("check_protocol_listener", "health --protocol"),
    ("log_tail", "logs"),
    ("log_tail_stream", "logs --follow"),
    ("export", "definitions export"),
    ("show overview", "overview"),
    ("list nodes", "nodes list"),
    ("list queues", "queues list"),
    ("list exchanges", "exchanges list"),
    ("list bindings", "bindings list"),
    ("list connections", "connections list"),
    ("list channels", "channels list"),
    ("list consumers", "consumers list"),
    ("list vhosts", "vhosts list"),
    ("list users", "users list"),
    ("list permissions", "permissions list"),
    ("list policies", "policies list"),
    ("list operator_policies", "operator-policies list"),
    ("list parameters", "parameters list"),
    ("list vhost_limits", "limits list-vhosts"),
    ("declare queue", "queues declare"),
    ("declare exchange", "exchanges declare"),
    ("declare binding", "bindings declare"),
    ("declare vhost", "vhosts add"),
    ("declare user", "users add"),
    ("delete queue", "queues delete"),
    ("delete exchange", "exchanges delete"),
    ("delete binding", "bindings delete"),
    ("delete vhost", "vhosts delete"),
    ("delete user", "users delete"),
    ("delete policy", "policies clear"),
    ("purge queue", "queues purge"),
    ("close connection", "connections close"),
];

/// How many of the first arguments are options of a session, with their values; none if one of
/// them is something else.
fn options(arguments: &[OsString]) -> Option<usize> {
    let session = SessionArgs::augment_args(clap::Command::new("session"));
    let mut at = 0;
    while let Some(text) = arguments.get(at).and_then(|argument| argument.to_str()) {
        if !text.starts_with('-') {
            break;
        }
        let name = text.split('=').next().unwrap_or_default();
        let option = session.get_arguments().find(|option| {
            let long = option.get_long().map(|long| format!("--{long}"));
            let short = option.get_short().map(|short| format!("-{short}"));
            long.as_deref() == Some(name) || short.as_deref() == Some(name)
        })?;
        let separate = option.get_action().takes_values() && !text.contains('=');
        at += if separate { 2 } else { 1 };
    }
    Some(at.min(arguments.len()))
}

/// Puts a session's options behind the verb, and our words for those of RabbitMQ's tools.
pub fn translate(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if arguments.is_empty() {
        return arguments;
    }
    let rest = arguments.split_off(1);
    let Some(leading) = options(&rest).filter(|count| *count < rest.len()) else {
        arguments.extend(rest);
        return arguments;
    };
    let (leading, words) = rest.split_at(leading);
    let said = |count: usize| -> Option<String> {
        let words: Option<Vec<&str>> =
            words.get(..count)?.iter().map(|word| word.to_str()).collect();
        words.map(|words| words.join(" "))
    };
    let find = |count: usize| {
        let said = said(count)?;
        NAMES.iter().find(|(theirs, _)| *theirs == said).map(|(_, ours)| (count, *ours))
    };
    match find(2).or_else(|| find(1)) {
        Some((count, ours)) => {
            // An option that takes a value stays at the end of ours.
            let (verb, option) = ours.split_once(" --").unwrap_or((ours, ""));
            arguments.extend(verb.split(' ').map(OsString::from));
            arguments.extend(leading.iter().cloned());
            if !option.is_empty() {
                arguments.push(format!("--{option}").into());
            }
            arguments.extend(words[count..].iter().cloned());
        }
        None => {
            arguments.push(words[0].clone());
            arguments.extend(leading.iter().cloned());
            arguments.extend(words[1..].iter().cloned());
        }
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> String {
        let arguments = line.split(' ').map(OsString::from).collect();
        let arguments = translate(arguments).into_iter().map(|one| one.into_string().unwrap());
        arguments.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn their_verbs_become_ours() {
        for (theirs, ours) in [
            ("leveret list_queues -p v name messages", "leveret queues list -p v name messages"),
            ("leveret -p v list_queues name", "leveret queues list -p v name"),
            ("leveret --user=a list queues", "leveret queues list --user=a"),
            ("leveret -q list_user_permissions bob", "leveret permissions list -q --of-user bob"),
            ("leveret --url u queues list", "leveret queues --url u list"),
            ("leveret --config f", "leveret --config f"),
            ("leveret queues list", "leveret queues list"),
            ("leveret list nothing", "leveret list nothing"),
            ("leveret", "leveret"),
        ] {
            assert_eq!(translated(theirs), ours);
        }
    }

    #[test]
    fn all_of_ours_are_verbs() {
        use clap::CommandFactory;

        for (theirs, ours) in NAMES {
            let mut command = crate::Cli::command();
            for word in ours.split(' ').filter(|word| !word.starts_with("--")) {
                let found = command.find_subcommand(word).cloned();
                let checks = ["alarms", "local-alarms", "virtual-hosts", "quorum"];
                match found {
                    Some(found) => command = found,
                    None => assert!(checks.contains(&word), "{theirs}: {word}"),
                }
            }
        }
    }
}
