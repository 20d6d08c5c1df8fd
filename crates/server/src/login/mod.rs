//! Logins with a password, or a token ([`bearers`]): checked away from the threads that serve
//! connections, remembered for a while, and slowed down for who guesses.
//!
//! A session asks by [`Logins::check`] and goes on when its mailbox has the answer. Checks with the
//! same password of the same user that come together are one. Without threads ([`start`]) a check
//! is done at once, which is what tests do.
//!
//! Invariants: at most [`THREADS`] hashes are computed at a time, and at most [`WAITING_MAX`] wait,
//! [`WAITING_PER_ADDRESS_MAX`] of one address; only right passwords are remembered, by a keyed hash
//! that a change of the user's password makes worthless; every table has a bound.

mod bearers;
mod failures;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use leveret_broker::auth::Secret;
use leveret_broker::broker::Broker;
use leveret_broker::definitions::User;
use leveret_broker::ids::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, mpsc};

use crate::net::mailbox::{Mailbox, Notice};
use crate::oauth::{Bearer, Fault, KeyRing};
use crate::shared::Shared;
use bearers::TokenJob;
use failures::Failures;

/// How many passwords are hashed at a time.
const THREADS: usize = 2;
/// How many different logins may wait for that.
const WAITING_MAX: usize = 1024;
/// How many of one address.
const WAITING_PER_ADDRESS_MAX: usize = 64;
/// How many connections may wait for the same one.
const SHARING_MAX: usize = 65_536;
/// How many right passwords are remembered.
const VERIFIED_MAX: usize = 16_384;

/// Why a login is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No such user, or another password.
    Wrong,
    /// There were too many wrong ones from this address: not even looked at.
    TooManyFailures,
    /// Too many logins wait.
    Busy,
    /// The token is not good.
    Token(Fault),
}

impl Refused {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Wrong => "unknown user or wrong password",
            Self::TooManyFailures => "too many failed logins of this user from this address",
            Self::Busy => "too many logins wait to be checked",
            Self::Token(fault) => fault.reason(),
        }
    }
}

/// Who has logged in.
#[derive(Debug, Clone)]
pub(crate) enum Identity {
    /// A user of the definitions.
    User(Arc<User>),
    /// Somebody with a token, which says all that counts.
    Bearer(Arc<Bearer>),
}

/// A login to check.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) user: String,
    pub(crate) password: Secret,
    pub(crate) from: IpAddr,
    pub(crate) now: Timestamp,
}

/// Times that the configuration sets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// How long a right password is remembered.
    pub(crate) remember: Duration,
    /// The longest back-off of who failed.
    pub(crate) backoff_max: Duration,
}

/// What a login comes to at first.
#[derive(Debug)]
pub(crate) enum Checked {
    /// It is known already.
    Now(Result<Identity, Refused>),
    /// The mailbox will have it as a [`Notice::Login`].
    Later,
}

/// A user's password as this process knows it: nothing of it can be told from this.
type Key = [u8; 32];

struct Job {
    key: Key,
    attempt: Attempt,
    times: Times,
}

#[derive(Default)]
struct Waiting {
    from: Option<IpAddr>,
    mailboxes: Vec<Weak<Mailbox>>,
}

#[derive(Default)]
struct State {
    verified: HashMap<Key, Timestamp>,
    waiting: HashMap<Key, Waiting>,
    by_address: HashMap<IpAddr, usize>,
    failures: Failures,
}

/// The logins of a server.
pub(crate) struct Logins {
    secret: [u8; 32],
    state: Mutex<State>,
    queue: OnceLock<mpsc::Sender<Job>>,
    tokens: OnceLock<mpsc::Sender<TokenJob>>,
    /// The keys that tokens are signed with.
    pub(crate) keys: KeyRing,
    /// Held by who hashes without the threads: one at a time.
    here: Mutex<()>,
    /// Places for who waits for keys without the threads.
    waiting_here: Semaphore,
}

impl Default for Logins {
    fn default() -> Self {
        let mut secret = [0; 32];
        // Without chance the table could be guessed at, not read: the passwords are not in it.
        let _ = getrandom::fill(&mut secret);
        Self {
            secret,
            state: Mutex::default(),
            queue: OnceLock::new(),
            tokens: OnceLock::new(),
            keys: KeyRing::default(),
            here: Mutex::default(),
            waiting_here: Semaphore::new(bearers::WAITING_HERE_MAX),
        }
    }
}

impl State {
    fn is_verified(&self, key: &Key, now: Timestamp) -> bool {
        self.verified.get(key).is_some_and(|until| now < *until)
    }

    fn remember(&mut self, key: Key, now: Timestamp, times: Times) {
        if self.verified.len() >= VERIFIED_MAX {
            self.verified.retain(|_, until| now < *until);
        }
        if self.verified.len() >= VERIFIED_MAX {
            self.verified.clear();
        }
        if !times.remember.is_zero() {
            self.verified.insert(key, now.after(times.remember.as_millis() as u64));
        }
    }

    /// Lets a connection wait; true if its login is to be checked, false if one like it already is.
    fn wait(&mut self, key: Key, from: IpAddr, mailbox: &Arc<Mailbox>) -> Result<bool, Refused> {
        if let Some(waiting) = self.waiting.get_mut(&key) {
            if waiting.mailboxes.len() >= SHARING_MAX {
                return Err(Refused::Busy);
            }
            waiting.mailboxes.push(Arc::downgrade(mailbox));
            return Ok(false);
        }
        let of_address = self.by_address.get(&from).copied().unwrap_or(0);
        if self.waiting.len() >= WAITING_MAX || of_address >= WAITING_PER_ADDRESS_MAX {
            return Err(Refused::Busy);
        }
        self.by_address.insert(from, of_address + 1);
        let mailboxes = vec![Arc::downgrade(mailbox)];
        self.waiting.insert(key, Waiting { from: Some(from), mailboxes });
        Ok(true)
    }

    fn end_wait(&mut self, key: &Key) -> Vec<Weak<Mailbox>> {
        let Some(waiting) = self.waiting.remove(key) else { return Vec::new() };
        if let Some(from) = waiting.from
            && let Some(count) = self.by_address.get_mut(&from)
        {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&from);
            }
        }
        waiting.mailboxes
    }
}

impl Logins {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// By which a password is known, as long as what is stored of the user's stays.
    fn key(&self, stored: Option<&User>, attempt: &Attempt) -> Key {
        let mut digest = Sha256::new().chain_update(self.secret);
        let stored = stored.map_or_else(String::new, |user| user.password.export().1);
        for part in [attempt.user.as_bytes(), stored.as_bytes(), attempt.password.reveal()] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    /// Checks a login, for the connection with that mailbox.
    pub(crate) fn check(
        &self,
        broker: &Broker,
        attempt: Attempt,
        mailbox: &Arc<Mailbox>,
        times: Times,
    ) -> Checked {
        let user = broker.user(&attempt.user).ok();
        let key = self.key(user.as_deref(), &attempt);
        let mut state = self.state();
        if let Some(user) = user.filter(|_| state.is_verified(&key, attempt.now)) {
            return Checked::Now(Ok(Identity::User(user)));
        }
        if state.failures.is_refused(attempt.from, &attempt.user, attempt.now) {
            return Checked::Now(Err(Refused::TooManyFailures));
        }
        let Some(queue) = self.queue.get() else {
            drop(state);
            return Checked::Now(self.verify(broker, &attempt, times).map(Identity::User));
        };
        match state.wait(key, attempt.from, mailbox) {
            Ok(true) if queue.try_send(Job { key, attempt, times }).is_ok() => Checked::Later,
            Ok(true) => {
                state.end_wait(&key);
                Checked::Now(Err(Refused::Busy))
            }
            Ok(false) => Checked::Later,
            Err(refused) => Checked::Now(Err(refused)),
        }
    }

    /// Checks a login for who may wait; hashes one at a time.
    pub(crate) fn check_here(
        &self,
        broker: &Broker,
        attempt: &Attempt,
        times: Times,
    ) -> Result<Arc<User>, Refused> {
        let known = || {
            let user = broker.user(&attempt.user).ok();
            let key = self.key(user.as_deref(), attempt);
            let state = self.state();
            match user.filter(|_| state.is_verified(&key, attempt.now)) {
                Some(user) => Some(Ok(user)),
                None => state
                    .failures
                    .is_refused(attempt.from, &attempt.user, attempt.now)
                    .then_some(Err(Refused::TooManyFailures)),
            }
        };
        if let Some(known) = known() {
            return known;
        }
        let _here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have found out meanwhile.
        known().unwrap_or_else(|| self.verify(broker, attempt, times))
    }

    /// Hashes, which blocks, and remembers what comes of it.
    fn verify(
        &self,
        broker: &Broker,
        attempt: &Attempt,
        times: Times,
    ) -> Result<Arc<User>, Refused> {
        let found = broker.authenticate(&attempt.user, attempt.password.reveal());
        let mut state = self.state();
        let Some(user) = found else {
            state.failures.note(attempt.from, &attempt.user, attempt.now, times.backoff_max);
            return Err(Refused::Wrong);
        };
        state.failures.forgive(attempt.from, &attempt.user);
        // As it is stored now: the hash may have been made stronger.
        state.remember(self.key(Some(&user), attempt), attempt.now, times);
        Ok(user)
    }

    fn work(&self, broker: &Broker, job: &Job) {
        let wanted = |waiting: &Waiting| waiting.mailboxes.iter().any(|one| one.strong_count() > 0);
        let Attempt { user, from, now, .. } = &job.attempt;
        let state = self.state();
        let is_wanted = state.waiting.get(&job.key).is_some_and(wanted);
        // Those before it may have failed while it waited: a crowd of guesses costs few hashes.
        let has_failed = state.failures.is_refused(*from, user, *now);
        drop(state);
        let outcome = match (is_wanted, has_failed) {
            (true, false) => self.verify(broker, &job.attempt, job.times),
            (true, true) => Err(Refused::TooManyFailures),
            // Whoever asked is gone.
            (false, _) => Err(Refused::Busy),
        };
        self.tell(&job.key, &outcome.map(Identity::User));
    }

    /// Tells those who wait for a check what has come of it.
    fn tell(&self, key: &Key, outcome: &Result<Identity, Refused>) {
        let mailboxes = self.state().end_wait(key);
        for mailbox in mailboxes.iter().filter_map(Weak::upgrade) {
            mailbox.notify(Notice::Login(outcome.clone()));
        }
    }
}

/// Has logins checked by threads of the runtime from now on. The tasks end with the server.
pub(crate) fn start(shared: &Arc<Shared>) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    if shared.logins.queue.set(sender).is_err() {
        return;
    }
    bearers::start(shared);
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    for _ in 0..THREADS {
        tokio::spawn(check_all(Arc::downgrade(shared), Arc::clone(&receiver)));
    }
}

async fn check_all(shared: Weak<Shared>, jobs: Arc<tokio::sync::Mutex<mpsc::Receiver<Job>>>) {
    loop {
        let job = jobs.lock().await.recv().await;
        let (Some(job), Some(shared)) = (job, shared.upgrade()) else { return };
        let checked = tokio::task::spawn_blocking(move || {
            // Also if the check panics, nobody waits for ever: the handshake has its deadline.
            shared.logins.work(&shared.broker, &job);
        });
        if let Err(error) = checked.await {
            tracing::error!(%error, "a login could not be checked");
        }
    }
}

#[cfg(test)]
mod tests;
