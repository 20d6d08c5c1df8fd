//! Names that the sources of a crate must not contain.

use super::{Finding, Source};

/// A name that is not allowed in some part of the tree.
struct Ban {
    check: &'static str,
    /// The paths it holds for, by their beginning.
    under: &'static [&'static str],
    /// The path within those for which it does not hold.
    except: &'static str,
    word: &'static str,
    reason: &'static str,
}

const PURE: &[&str] = &["crates/broker/src/", "crates/wire/src/", "crates/store/src/"];

/// A ban that holds in all of the pure crates.
const fn pure(word: &'static str, reason: &'static str) -> Ban {
    Ban { check: "pure", under: PURE, except: "", word, reason }
}

const BANS: [Ban; 17] = [
    pure("tokio", "no runtime below the server"),
    pure("mio", "no sockets below the server"),
    pure("std::net", "no sockets below the server"),
    pure("TcpStream", "no sockets below the server"),
    pure("TcpListener", "no sockets below the server"),
    pure("UdpSocket", "no sockets below the server"),
    pure("SocketAddr", "no sockets below the server"),
    pure("Instant::now", "the time is passed in"),
    pure("SystemTime::now", "the time is passed in"),
    pure("rand", "chance is passed in as a seed"),
    pure("getrandom", "chance is passed in as a seed"),
    pure("thread_rng", "chance is passed in as a seed"),
    pure("thread::spawn", "no threads of its own: the caller decides"),
    pure("RandomState", "the order of a hash must not depend on chance"),
    pure("std::collections::HashMap", "its order depends on chance: hashbrown with FixedState"),
    pure("std::collections::HashSet", "its order depends on chance: hashbrown with FixedState"),
    Ban {
        check: "wire-in-broker",
        under: &["crates/broker/src/"],
        except: "crates/broker/src/message/",
        word: "leveret_wire",
        reason: "the broker knows a protocol only inside message/",
    },
];

/// Finds banned names in the code of one file.
pub fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let path = source.path.as_str();
    for ban in BANS.iter().filter(|ban| ban.under.iter().any(|start| path.starts_with(start))) {
        if !ban.except.is_empty() && path.starts_with(ban.except) {
            continue;
        }
        for (index, line) in source.scanned.code.lines().enumerate() {
            if contains_word(line, ban.word) {
                let text = format!("`{}` must not be named here: {}", ban.word, ban.reason);
                let mut finding = source.finding(ban.check, index + 1, text);
                ban.word.clone_into(&mut finding.item);
                findings.push(finding);
            }
        }
    }
    findings
}

/// Whether a line has the word with no part of a name on either side.
pub fn contains_word(line: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(is_name);
        let after = line[at + word.len()..].chars().next().is_some_and(is_name);
        !before && !after
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&Source::new(path, text)).into_iter().map(|finding| finding.item).collect()
    }

    #[test]
    fn a_pure_crate_must_not_name_a_clock_or_a_socket() {
        let text = "use std::net::IpAddr;\nlet now = std::time::Instant::now();\n";
        assert_eq!(found("crates/broker/src/queue.rs", text), ["std::net", "Instant::now"]);
        assert_eq!(found("crates/server/src/net.rs", text), [""; 0]);
    }

    #[test]
    fn comments_strings_and_longer_names_are_not_names() {
        let text = "// tokio\nlet a = \"tokio\";\nlet operand = mio_count;\n";
        assert_eq!(found("crates/wire/src/lib.rs", text), [""; 0]);
    }

    #[test]
    fn wire_is_known_to_the_broker_only_inside_message() {
        let text = "use leveret_wire::amqp091::Table;\n";
        assert_eq!(found("crates/broker/src/queue/mod.rs", text), ["leveret_wire"]);
        assert_eq!(found("crates/broker/src/message/mod.rs", text), [""; 0]);
    }
}
