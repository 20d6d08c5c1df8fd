//! Who asks: by name and password (HTTP Basic), by a token (Bearer), or by the cookie of a session
//! of the web pages.
//!
//! Invariant: a request with a cookie counts only with a header that no other site can send, and a
//! session ends when its user is gone or has another password, or when its token ends. Neither
//! password nor token is kept.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, COOKIE, HeaderMap, WWW_AUTHENTICATE};
use leveret_broker::auth::Scopes;
use leveret_broker::definitions::{ADMINISTRATOR, User};
use leveret_broker::ids::Timestamp;
use sha2::{Digest, Sha256};

use crate::answer::Answer;
use crate::node::{Login, Node};

/// The header that a page must send with its cookie.
const PAGE_HEADER: &str = "x-leveret-ui";
/// The cookie of a session.
const COOKIE_NAME: &str = "leveret_session";
/// How long a session lasts without a request, in milliseconds.
const IDLE_MS: u64 = 3_600_000;
/// How many sessions there may be.
const SESSIONS_MAX: usize = 1_000;

/// How much a request asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Any tag that opens the interface.
    Management,
    /// May make policies.
    Policymaker,
    /// May see what others do.
    Monitoring,
    /// May do everything.
    Administrator,
}

impl Level {
    /// The tags of which a caller needs one.
    pub(crate) const fn tags(self) -> &'static [&'static str] {
        match self {
            Self::Management => &[ADMINISTRATOR, "monitoring", "policymaker", "management"],
            Self::Policymaker => &[ADMINISTRATOR, "policymaker"],
            Self::Monitoring => &[ADMINISTRATOR, "monitoring"],
            Self::Administrator => &[ADMINISTRATOR],
        }
    }
}

/// Who asks, and from where.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) user: Arc<User>,
    /// What a token grants, which stands for the user's permissions.
    pub(crate) scopes: Option<Arc<Scopes>>,
    pub(crate) from: IpAddr,
}

impl Caller {
    pub(crate) fn new(login: Login, from: IpAddr) -> Self {
        Self { user: login.user, scopes: login.token.map(|token| token.scopes), from }
    }

    fn has_any(&self, tags: &[&str]) -> bool {
        tags.iter().any(|tag| self.user.has_tag(tag))
    }

    pub(crate) fn is_administrator(&self) -> bool {
        self.user.has_tag(ADMINISTRATOR)
    }

    /// Whether the caller sees what others do.
    pub(crate) fn is_monitor(&self) -> bool {
        self.has_any(Level::Monitoring.tags())
    }

    /// Refuses a caller with too few tags, in RabbitMQ's words.
    pub(crate) fn check(&self, level: Level) -> Result<(), Answer> {
        let text = match level {
            Level::Management => "Not management user",
            Level::Policymaker => "Not policymaker user",
            Level::Monitoring => "Not monitor user",
            Level::Administrator => "Not administrator user",
        };
        if self.has_any(level.tags()) { Ok(()) } else { Err(Answer::not_authorised(text)) }
    }
}

type Key = [u8; 32];

struct Session {
    login: Login,
    used_at: Timestamp,
}

impl Session {
    /// Who it is of by now; nobody if it has ended.
    fn current(&self, node: &dyn Node, now: Timestamp) -> Option<Login> {
        if self.used_at.after(IDLE_MS) <= now {
            return None;
        }
        let login = &self.login;
        if let Some(token) = &login.token {
            return (now < token.expires_at).then(|| login.clone());
        }
        let user = node.broker().user(&login.user.name).ok();
        let user = user.filter(|user| user.password == login.user.password)?;
        Some(Login { user, token: None })
    }
}

/// The sessions of the web pages, by a hash of their cookies.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<Key, Session>>);

fn key(token: &str) -> Key {
    Sha256::digest(token.as_bytes()).into()
}

/// The token in the cookies of a request.
pub(crate) fn token(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|cookies| cookies.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))
}

/// Whether a page of ours asks.
pub(crate) fn is_page(headers: &HeaderMap) -> bool {
    headers.get(PAGE_HEADER).is_some_and(|value| value == "1")
}

impl Sessions {
    fn all(&self) -> MutexGuard<'_, HashMap<Key, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session; its cookie. None if there are too many, or there is no chance to be had.
    pub(crate) fn open(&self, login: &Login, now: Timestamp) -> Option<String> {
        let mut bits = [0; 32];
        getrandom::fill(&mut bits).ok()?;
        let token = URL_SAFE_NO_PAD.encode(bits);
        let mut all = self.all();
        if all.len() >= SESSIONS_MAX {
            all.retain(|_, session| session.used_at.after(IDLE_MS) > now);
        }
        if all.len() >= SESSIONS_MAX {
            return None;
        }
        all.insert(key(&token), Session { login: login.clone(), used_at: now });
        Some(format!("{COOKIE_NAME}={token}; HttpOnly; SameSite=Strict; Path=/"))
    }

    /// Ends a session.
    pub(crate) fn close(&self, token: &str) {
        self.all().remove(&key(token));
    }

    fn find(&self, token: &str, node: &dyn Node) -> Option<Login> {
        let now = node.now();
        let mut all = self.all();
        let session = all.get_mut(&key(token))?;
        let current = session.current(node, now);
        match current {
            Some(_) => session.used_at = now,
            None => drop(all.remove(&key(token))),
        }
        current
    }
}

/// The cookie that makes a browser forget its session.
pub(crate) fn no_cookie() -> String {
    format!("{COOKIE_NAME}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0")
}

/// Finds out who asks.
pub(crate) fn caller(
    headers: &HeaderMap,
    from: IpAddr,
    sessions: &Sessions,
    node: &dyn Node,
) -> Result<Caller, Answer> {
    let is_page = is_page(headers);
    if let Some(value) = headers.get(AUTHORIZATION) {
        return match log_in(value.as_bytes(), from, node) {
            Some(login) => Ok(Caller::new(login, from)),
            None => Err(Answer::error(StatusCode::UNAUTHORIZED, "not_authorized", "Login failed")),
        };
    }
    match token(headers) {
        Some(_) if !is_page => {
            let reason = "a request with the cookie of a session needs the header X-Leveret-UI: 1";
            Err(Answer::error(StatusCode::FORBIDDEN, "forbidden", reason))
        }
        Some(token) => match sessions.find(token, node) {
            Some(login) => Ok(Caller::new(login, from)),
            None => {
                let reason = "Not logged in";
                Err(Answer::error(StatusCode::UNAUTHORIZED, "not_authorized", reason))
            }
        },
        None => {
            let answer = Answer::empty(StatusCode::UNAUTHORIZED);
            let realm = "Basic realm=\"RabbitMQ Management\"";
            Err(if is_page { answer } else { answer.with(WWW_AUTHENTICATE, realm) })
        }
    }
}

/// Logs in by what stands in the header.
fn log_in(value: &[u8], from: IpAddr, node: &dyn Node) -> Option<Login> {
    let at = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = (&value[..at], value[at..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return node.log_in_by_token(rest, from);
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let (user, password) = basic(rest)?;
    node.log_in(&user, &password, from)
}

/// User and password of a Basic authorization.
fn basic(value: &[u8]) -> Option<(String, Vec<u8>)> {
    let decoded = STANDARD.decode(value).ok()?;
    let at = decoded.iter().position(|byte| *byte == b':')?;
    let user = String::from_utf8(decoded[..at].to_vec()).ok()?;
    Some((user, decoded[at + 1..].to_vec()))
}
