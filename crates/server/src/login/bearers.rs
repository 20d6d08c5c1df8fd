//! Logins with a token instead of a password.
//!
//! A token that was good a moment ago is known; any other is checked on a thread that serves no
//! connections, behind other tokens but not behind passwords. One whose key is not known waits for
//! the keys to be read, which nothing else does.
//!
//! Invariant: what waits has a bound, and waiting for keys holds up nobody whose key is known.

use std::sync::{Arc, Weak};

use leveret_broker::auth::Secret;
use leveret_broker::ids::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::{Attempt, Checked, Identity, Logins, Refused, WAITING_MAX};
use crate::clock;
use crate::net::mailbox::Mailbox;
use crate::oauth::{Bearer, Fault, Looked, OAuthOptions, Token};
use crate::shared::Shared;

/// How many tokens may wait for keys.
const UNKNOWN_MAX: usize = 64;

/// How many requests of the management interface may wait for keys: fewer than it works on.
pub(super) const WAITING_HERE_MAX: usize = 4;

/// A token to check.
pub(super) struct TokenJob {
    token: Token,
    options: Arc<OAuthOptions>,
    now: Timestamp,
}

impl TokenJob {
    fn look(&self, logins: &Logins) -> Looked {
        logins.keys.look(&self.token, &self.options, self.now)
    }

    fn verify(&self, logins: &Logins) -> Result<Identity, Refused> {
        identity(logins.keys.verify(&self.token, &self.options, self.now))
    }
}

fn identity(found: Result<Arc<Bearer>, Fault>) -> Result<Identity, Refused> {
    found.map(Identity::Bearer).map_err(Refused::Token)
}

impl Logins {
    /// Checks a login whose password is a token, for the connection with that mailbox. The user
    /// that it names does not matter.
    pub(crate) fn check_token(
        &self,
        attempt: Attempt,
        options: &Arc<OAuthOptions>,
        mailbox: &Arc<Mailbox>,
    ) -> Checked {
        let now = attempt.now;
        let token = match self.keys.token(attempt.password) {
            Ok(token) => token,
            Err(fault) => return Checked::Now(Err(Refused::Token(fault))),
        };
        if let Some(bearer) = self.keys.recall(&token, options, now) {
            return Checked::Now(Ok(Identity::Bearer(bearer)));
        }
        let key = token.hash();
        let job = TokenJob { token, options: Arc::clone(options), now };
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

    /// Checks a token for who may wait, on a thread of the runtime that may block. While
    /// [`WAITING_HERE_MAX`] wait for keys, others are judged by those that there are.
    pub(crate) fn check_token_here(
        &self,
        secret: Secret,
        options: &Arc<OAuthOptions>,
        now: Timestamp,
    ) -> Result<Arc<Bearer>, Refused> {
        let token = self.keys.token(secret).map_err(Refused::Token)?;
        if let Some(bearer) = self.keys.recall(&token, options, now) {
            return Ok(bearer);
        }
        if let Looked::Done(found) = self.keys.look(&token, options, now) {
            return found.map_err(Refused::Token);
        }
        if let (Ok(_place), Ok(runtime)) = (self.waiting_here.try_acquire(), Handle::try_current())
        {
            runtime.block_on(self.keys.refresh(options, now));
        }
        self.keys.verify(&token, options, now).map_err(Refused::Token)
    }

    /// Without threads, there are the keys of the file.
    fn check_with_file(&self, job: &TokenJob) -> Result<Identity, Refused> {
        if let Looked::NeedsKeys = job.look(self) {
            self.keys.refresh_file(&job.options, job.now);
        }
        job.verify(self)
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
            logins.tell(&job.token.hash(), &identity(found));
        }
        Looked::NeedsKeys => {
            if let Err(full) = unknown.try_send(job) {
                logins.tell(&full.into_inner().token.hash(), &Err(Refused::Busy));
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
        shared.logins.tell(&job.token.hash(), &outcome);
    }
}
