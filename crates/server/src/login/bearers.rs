//! Logins with a token instead of a password.
//!
//! A token is checked on a thread that serves no connections, behind other tokens but not behind
//! passwords. One whose key is not known waits for the keys to be read, which nothing else does.
//!
//! Invariant: what waits has a bound, and waiting for keys holds up nobody whose key is known.

use std::sync::{Arc, Weak};

use leveret_broker::auth::Secret;
use leveret_broker::ids::Timestamp;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::{Attempt, Checked, Identity, Key, Logins, Refused, WAITING_MAX};
use crate::clock;
use crate::net::mailbox::Mailbox;
use crate::oauth::{Bearer, Looked, OAuthOptions};
use crate::shared::Shared;

/// How many tokens may wait for keys.
const UNKNOWN_MAX: usize = 64;

/// A token to check.
pub(super) struct TokenJob {
    key: Key,
    token: Secret,
    options: Arc<OAuthOptions>,
    now: Timestamp,
}

impl TokenJob {
    fn look(&self, logins: &Logins) -> Looked {
        logins.keys.look(self.token.reveal(), &self.options, self.now)
    }

    fn verify(&self, logins: &Logins) -> Result<Identity, Refused> {
        let found = logins.keys.verify(self.token.reveal(), &self.options, self.now);
        identity(found.map_err(Refused::Token))
    }
}

fn identity(found: Result<Bearer, Refused>) -> Result<Identity, Refused> {
    found.map(|bearer| Identity::Bearer(Arc::new(bearer)))
}

impl Logins {
    /// By which the checks of one token are known to be the same.
    fn token_key(&self, token: &Secret) -> Key {
        let digest = Sha256::new().chain_update(self.secret).chain_update(b"token");
        digest.chain_update(token.reveal()).finalize().into()
    }

    /// Checks a login whose password is a token, for the connection with that mailbox. The user
    /// that it names does not matter.
    pub(crate) fn check_token(
        &self,
        attempt: Attempt,
        options: &Arc<OAuthOptions>,
        mailbox: &Arc<Mailbox>,
    ) -> Checked {
        let (key, now) = (self.token_key(&attempt.password), attempt.now);
        let job = TokenJob { key, token: attempt.password, options: Arc::clone(options), now };
        let Some(queue) = self.tokens.get() else {
            return Checked::Now(self.check_with_file(&job));
        };
        let waits = self.state().wait(key, attempt.from, mailbox);
        match waits {
            Ok(true) if queue.try_send(job).is_ok() => Checked::Later,
            Ok(true) => {
                self.state().end_wait(&key);
                Checked::Now(Err(Refused::Busy))
            }
            Ok(false) => Checked::Later,
            Err(refused) => Checked::Now(Err(refused)),
        }
    }

    /// Without threads, there are the keys of the file.
    fn check_with_file(&self, job: &TokenJob) -> Result<Identity, Refused> {
        if let Looked::NeedsKeys = job.look(self) {
            self.keys.refresh_file(&job.options, job.now);
        }
        job.verify(self)
    }

    /// Checks a token for who may wait, such as a request of the management API. It blocks, also
    /// for keys to be fetched: never call it on a thread that serves connections.
    #[cfg_attr(not(test), expect(dead_code, reason = "bearer tokens of the management API"))]
    pub(crate) fn check_token_here(
        &self,
        token: &[u8],
        options: &Arc<OAuthOptions>,
        now: Timestamp,
    ) -> Result<Bearer, Refused> {
        if let Looked::Done(found) = self.keys.look(token, options, now) {
            return found.map_err(Refused::Token);
        }
        match Handle::try_current() {
            Ok(runtime) => runtime.block_on(self.keys.refresh(options, now)),
            Err(_) => self.keys.refresh_file(options, now),
        }
        self.keys.verify(token, options, now).map_err(Refused::Token)
    }

}

/// Has tokens checked by threads of the runtime from now on. The tasks end with the server.
pub(super) fn start(shared: &Arc<Shared>) {
    let (sender, jobs) = mpsc::channel(WAITING_MAX);
    if shared.logins.tokens.set(sender).is_err() {
        return;
    }
    let (unknown_sender, unknown) = mpsc::channel(UNKNOWN_MAX);
    tokio::spawn(check_all(Arc::downgrade(shared), jobs, unknown_sender));
    tokio::spawn(look_for_keys(Arc::downgrade(shared), unknown));
}

async fn check_all(
    shared: Weak<Shared>,
    mut jobs: mpsc::Receiver<TokenJob>,
    unknown: mpsc::Sender<TokenJob>,
) {
    while let Some(job) = jobs.recv().await {
        let Some(shared) = shared.upgrade() else { return };
        let unknown = unknown.clone();
        let checked = tokio::task::spawn_blocking(move || check(&shared.logins, job, &unknown));
        if let Err(error) = checked.await {
            tracing::error!(%error, "a token could not be checked");
        }
    }
}

fn check(logins: &Logins, job: TokenJob, unknown: &mpsc::Sender<TokenJob>) {
    match job.look(logins) {
        Looked::Done(found) => {
            logins.tell(&job.key, &identity(found.map_err(Refused::Token)));
        }
        Looked::NeedsKeys => {
            if let Err(full) = unknown.try_send(job) {
                logins.tell(&full.into_inner().key, &Err(Refused::Busy));
            }
        }
    }
}

/// Reads the keys when somebody needs others than there are, and at the start.
async fn look_for_keys(shared: Weak<Shared>, mut jobs: mpsc::Receiver<TokenJob>) {
    if let Some(shared) = shared.upgrade()
        && let Some(options) = shared.options.load().oauth.clone()
    {
        shared.logins.keys.refresh(&options, clock::now()).await;
    }
    while let Some(job) = jobs.recv().await {
        let Some(shared) = shared.upgrade() else { return };
        if let Looked::NeedsKeys = job.look(&shared.logins) {
            shared.logins.keys.refresh(&job.options, job.now).await;
        }
        let outcome = job.verify(&shared.logins);
        shared.logins.tell(&job.key, &outcome);
    }
}
