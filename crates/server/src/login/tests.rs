//! Logins without sockets: what is hashed, what is remembered, and who has to wait.

use std::net::IpAddr;

use leveret_broker::auth::Cost;
use leveret_broker::broker::Credential;
use leveret_broker::log::NoLog;

use super::*;
use crate::options::Options;

const NOW: Timestamp = Timestamp(1_000_000);
const TIMES: Times =
    Times { remember: Duration::from_secs(60), backoff_max: Duration::from_secs(60) };

fn shared() -> Arc<Shared> {
    let broker = Broker::new(Arc::new(NoLog::default()), [1; 32]);
    broker.set_password_cost(Cost::LEAST);
    broker.add_vhost("/");
    broker.put_administrator("shop", "right", "/").unwrap();
    Arc::new(Shared::new(broker, Options::default()))
}

fn attempt(password: &str, last: u8, now: Timestamp) -> Attempt {
    let from = IpAddr::from([192, 0, 2, last]);
    Attempt { user: "shop".to_owned(), password: Secret::new(password.as_bytes()), from, now }
}

fn check(shared: &Shared, attempt: Attempt) -> Checked {
    let mailbox = Arc::new(Mailbox::new(1024));
    shared.logins.check(&shared.broker, attempt, &mailbox, TIMES)
}

fn refusal(checked: Checked) -> Option<Refused> {
    match checked {
        Checked::Now(outcome) => outcome.err(),
        Checked::Later => panic!("nobody checks it later"),
    }
}

#[test]
fn who_guesses_waits_and_others_do_not() {
    let shared = shared();
    for _ in 0..3 {
        assert_eq!(refusal(check(&shared, attempt("wrong", 1, NOW))), Some(Refused::Wrong));
    }
    let refused = Some(Refused::TooManyFailures);
    assert_eq!(refusal(check(&shared, attempt("right", 1, NOW))), refused, "not looked at");
    assert_eq!(refusal(check(&shared, attempt("right", 2, NOW))), None, "from elsewhere");
    assert_eq!(refusal(check(&shared, attempt("right", 1, NOW))), None, "just seen to be right");
    let other = Attempt { user: "nobody".to_owned(), ..attempt("right", 1, NOW) };
    assert_eq!(refusal(check(&shared, other)), Some(Refused::Wrong));
}

#[test]
fn a_right_password_is_remembered_until_it_changes_or_time_passes() {
    let shared = shared();
    assert_eq!(refusal(check(&shared, attempt("right", 1, NOW))), None);
    let remembers = |now| {
        let user = shared.broker.user("shop").unwrap();
        let key = shared.logins.key(Some(&user), &attempt("right", 1, now));
        shared.logins.state().is_verified(&key, now)
    };
    assert!(remembers(NOW.after(59_999)) && !remembers(NOW.after(60_000)));
    shared.broker.set_credential("shop", Credential::Password("other")).unwrap();
    assert!(!remembers(NOW));
    assert_eq!(refusal(check(&shared, attempt("right", 1, NOW))), Some(Refused::Wrong));
}

#[test]
fn what_is_remembered_is_bounded() {
    let shared = shared();
    let mut state = shared.logins.state();
    for number in 0..3 * VERIFIED_MAX as u64 {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        state.remember(key, NOW, TIMES);
    }
    assert!(state.verified.len() <= VERIFIED_MAX);
}

#[test]
fn equal_logins_wait_together_and_one_address_cannot_take_all_places() {
    let mailbox = Arc::new(Mailbox::new(1024));
    let mut state = State::default();
    let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
    for number in 0..WAITING_PER_ADDRESS_MAX as u8 {
        assert_eq!(state.wait([number; 32], one, &mailbox), Ok(true));
    }
    assert_eq!(state.wait([0; 32], one, &mailbox), Ok(false), "it is under way");
    assert_eq!(state.wait([200; 32], one, &mailbox), Err(Refused::Busy));
    assert_eq!(state.wait([200; 32], other, &mailbox), Ok(true));
    assert_eq!(state.end_wait(&[0; 32]).len(), 2);
    assert_eq!(state.wait([201; 32], one, &mailbox), Ok(true), "a place is free");
    for number in 0..=255 {
        state.end_wait(&[number; 32]);
    }
    assert!(state.by_address.is_empty() && state.waiting.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn with_threads_the_answer_comes_by_mail() {
    let shared = shared();
    start(&shared);
    let mailboxes: Vec<_> = (0..20).map(|_| Arc::new(Mailbox::new(1024))).collect();
    for mailbox in &mailboxes {
        let checked = shared.logins.check(&shared.broker, attempt("right", 1, NOW), mailbox, TIMES);
        match checked {
            Checked::Later => {}
            Checked::Now(outcome) => mailbox.notify(Notice::Login(outcome)),
        }
    }
    for mailbox in mailboxes {
        let notice = loop {
            if let Some(notice) = mailbox.take_notices().pop() {
                break notice;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        assert!(matches!(notice, Notice::Login(Ok(Identity::User(user))) if &*user.name == "shop"));
    }
    assert!(shared.logins.state().waiting.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_crowd_of_guesses_costs_few_hashes() {
    let shared = shared();
    start(&shared);
    let mailboxes: Vec<_> = (0..40).map(|_| Arc::new(Mailbox::new(1024))).collect();
    for (number, mailbox) in mailboxes.iter().enumerate() {
        let guess = attempt(&format!("wrong{number}"), 1, NOW);
        if let Checked::Now(outcome) = shared.logins.check(&shared.broker, guess, mailbox, TIMES) {
            mailbox.notify(Notice::Login(outcome));
        }
    }
    let mut hashed = 0;
    for mailbox in mailboxes {
        let notice = loop {
            if let Some(notice) = mailbox.take_notices().pop() {
                break notice;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        match notice {
            Notice::Login(Err(Refused::Wrong)) => hashed += 1,
            Notice::Login(Err(Refused::TooManyFailures)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!((3..3 + THREADS).contains(&hashed), "{hashed}");
}
