//! Users, permissions and vhosts across restarts, and logins that make a hash stronger.

use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

use super::super::{AccessChange, Broker, Credential};
use crate::auth::Cost;
use crate::broker::{Principal, QueueRequest};
use crate::definitions::Command;
use crate::ids::{ConnectionId, Timestamp};
use crate::keeping_log::KeepingLog;
use crate::log::{Entry, Log};
use crate::message::FieldTable;

const NOW: Timestamp = Timestamp(1_000_000);

fn broker() -> (Broker, Arc<KeepingLog>) {
    let log = KeepingLog::new();
    let broker = Broker::new(log.clone(), [7; 32]);
    broker.set_password_cost(Cost::LEAST);
    broker.add_vhost("/");
    broker.add_vhost("v");
    (broker, log)
}

fn of(user: &str) -> Principal {
    Principal::new(ConnectionId(1)).in_vhost(user, "")
}

fn after(log: &KeepingLog) -> (Broker, Arc<KeepingLog>) {
    let (log, recovered) = log.crash(log.len());
    let broker = Broker::recover(log.clone(), [7; 32], recovered, NOW);
    broker.set_password_cost(Cost::LEAST);
    (broker, log)
}

/// A user as builds without tags logged it.
fn old_user(name: &str, password: &str) -> Command {
    let salt = [1, 2, 3, 4];
    let hash = Sha256::new().chain_update(salt).chain_update(password).finalize();
    let bytes = [&[1, name.len() as u8], name.as_bytes(), &salt, &hash[..]].concat();
    postcard::from_bytes(&bytes).expect("the form of earlier builds")
}

#[test]
fn users_of_earlier_builds_keep_what_they_could_do_and_get_a_strong_hash() {
    let (_, log) = broker();
    log.append(&[Entry::Define(old_user("old", "secret"))]);
    let (broker, log) = after(&log);
    assert!(broker.user("old").unwrap().has_tag("administrator"));
    assert!(
        broker.check_vhost(&of("old"), "/").is_ok() && broker.check_vhost(&of("old"), "v").is_ok()
    );
    let algorithm = |broker: &Broker| broker.user("old").unwrap().password.algorithm();
    assert!(broker.authenticate("old", b"wrong").is_none());
    assert_eq!(algorithm(&broker), "rabbit_password_hashing_sha256");
    assert!(broker.authenticate("old", b"secret").is_some());
    assert_eq!(algorithm(&broker), "leveret_argon2id");
    // What is taken away stays away, though the old entry is in the log still.
    broker.clear_permissions("old", "v").unwrap();
    let (broker, _) = after(&log);
    assert_eq!(algorithm(&broker), "leveret_argon2id");
    assert!(
        broker.check_vhost(&of("old"), "v").is_err() && broker.check_vhost(&of("old"), "/").is_ok()
    );
    assert!(broker.authenticate("old", b"secret").is_some());
}

#[test]
fn users_and_permissions_survive_and_so_does_their_end() {
    let (broker, log) = broker();
    broker.put_user("shop", Credential::Password("one"), &["mine", " ", "management"]).unwrap();
    broker.grant("shop", "v", ["a", "b", "c"]).unwrap();
    broker.grant_topic("shop", "v", "amq.topic", ["w", "{username}"]).unwrap();
    broker.set_credential("shop", Credential::Password("two")).unwrap();
    let (broker, log) = after(&log);
    assert!(broker.authenticate("shop", b"one").is_none());
    let user = broker.authenticate("shop", b"two").unwrap();
    assert_eq!(user.tags, ["mine".into(), "management".into()]);
    let snapshot = broker.definitions();
    let find = |command: fn(&Command) -> bool| snapshot.iter().any(command);
    assert!(find(|one| matches!(one, Command::SetPermissions(..))));
    assert!(find(|one| matches!(one, Command::SetTopicPermissions(..))));
    broker.delete_user("shop").unwrap();
    broker.put_user("shop", Credential::None, &[]).unwrap();
    let (broker, _) = after(&log);
    assert!(broker.check_vhost(&of("shop"), "v").is_err(), "the new user of that name has nothing");
    assert!(broker.topology().vhosts["v"].topic_permissions.is_empty());
    assert!(broker.authenticate("shop", b"two").is_none());
}

#[test]
fn a_vhost_goes_with_all_that_is_in_it() {
    let (broker, log) = broker();
    broker.put_administrator("shop", "pw", "v").unwrap();
    let who = Principal::new(broker.new_connection()).in_vhost("shop", "v");
    let arguments = FieldTable::default();
    let (name, exclusive, auto_delete) = ("q", false, false);
    let request = QueueRequest { name, durable: true, exclusive, auto_delete, arguments };
    broker.declare_queue(&who, request, NOW).unwrap();
    let changes: Arc<Mutex<Vec<AccessChange>>> = Arc::default();
    let seen = Arc::clone(&changes);
    broker.on_access_change(move |change| seen.lock().unwrap().push(change.clone()));
    broker.delete_vhost("v", NOW).unwrap();
    assert_eq!(*changes.lock().unwrap(), [AccessChange::VhostDeleted("v".into())]);
    assert!(broker.delete_vhost("v", NOW).is_err());
    let (broker, _) = after(&log);
    assert!(broker.topology().vhosts.get("v").is_none() && broker.orphans().is_empty());
    broker.add_vhost("v");
    assert!(broker.check_vhost(&of("shop"), "v").is_err());
}

#[test]
fn what_is_wrong_is_refused_with_the_reason() {
    let (broker, _) = broker();
    let text = |refused: Result<crate::log::Position, crate::error::Refusal>| {
        refused.map_or_else(|refusal| refusal.text, |_| "taken".to_owned())
    };
    assert_eq!(text(broker.put_user("", Credential::None, &[])), "the user's name is empty");
    let empty = broker.put_user("u", Credential::Password(""), &[]);
    assert_eq!(text(empty), "the password is empty");
    let hash = Credential::Hash { algorithm: Some("crc32"), hash: "AAAA" };
    assert!(text(broker.put_user("u", hash, &[])).contains("crc32 is not known"));
    broker.put_user("u", Credential::None, &[]).unwrap();
    let invalid = "invalid regular expression '[': unclosed character class";
    assert_eq!(text(broker.grant("u", "v", ["[", "", ""])), invalid);
    assert_eq!(text(broker.grant_topic("u", "v", "x", ["", "["])), invalid);
    assert_eq!(text(broker.grant("u", "none", ["", "", ""])), "no vhost 'none'");
    assert_eq!(text(broker.grant("none", "v", ["", "", ""])), "no user 'none'");
    assert_eq!(text(broker.set_tags("none", &[])), "no user 'none'");
    assert_eq!(text(broker.delete_user("none")), "no user 'none'");
}
