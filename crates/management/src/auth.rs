//! Who asks: by name and password (HTTP Basic), or by the cookie of a session of the web pages.
//!
//! Invariant: a request with a cookie counts only with a header that no other site can send, and a
//! session ends when its user is gone or has another password. No password is kept.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, COOKIE, HeaderMap, WWW_AUTHENTICATE};
use leveret_broker::definitions::{ADMINISTRATOR, User};
use leveret_broker::ids::Timestamp;
use sha2::{Digest, Sha256};

use crate::answer::Answer;
use crate::node::Node;

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
    /// Nothing: it need not even be known.
    Anybody,
    /// Any tag that opens the interface.
    Management,
    /// May make policies.
    Policymaker,
    /// May see what others do.
    Monitoring,
    /// May do everything.
    Administrator,
}

/// Who asks, and from where.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) user: Arc<User>,
    pub(crate) from: IpAddr,
}

impl Caller {
    fn has_any(&self, tags: &[&str]) -> bool {
        tags.iter().any(|tag| self.user.has_tag(tag))
    }

    pub(crate) fn is_administrator(&self) -> bool {
        self.user.has_tag(ADMINISTRATOR)
    }

    /// Whether the caller sees what others do.
    pub(crate) fn is_monitor(&self) -> bool {
        self.has_any(&[ADMINISTRATOR, "monitoring"])
    }

    /// Refuses a caller with too few tags, in RabbitMQ's words.
    pub(crate) fn check(&self, level: Level) -> Result<(), Answer> {
        let (may, text) = match level {
            Level::Anybody => return Ok(()),
            Level::Management => (
                self.has_any(&[ADMINISTRATOR, "monitoring", "policymaker", "management"]),
                "Not management user",
            ),
            Level::Policymaker => {
                (self.has_any(&[ADMINISTRATOR, "policymaker"]), "Not policymaker user")
            }
            Level::Monitoring => (self.is_monitor(), "Not monitor user"),
            Level::Administrator => (self.is_administrator(), "Not administrator user"),
        };
        if may { Ok(()) } else { Err(Answer::not_authorised(text)) }
    }
}

type Key = [u8; 32];

struct Session {
    user: Arc<User>,
    used_at: Timestamp,
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
    pub(crate) fn open(&self, user: &Arc<User>, now: Timestamp) -> Option<String> {
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
        all.insert(key(&token), Session { user: Arc::clone(user), used_at: now });
        Some(format!("{COOKIE_NAME}={token}; HttpOnly; SameSite=Strict; Path=/"))
    }

    /// Ends a session.
    pub(crate) fn close(&self, token: &str) {
        self.all().remove(&key(token));
    }

    fn find(&self, token: &str, node: &dyn Node) -> Option<Arc<User>> {
        let now = node.now();
        let mut all = self.all();
        let session = all.get_mut(&key(token))?;
        let current = node.broker().user(&session.user.name).ok();
        let current = current.filter(|user| user.password == session.user.password);
        match current {
            Some(user) if session.used_at.after(IDLE_MS) > now => {
                session.used_at = now;
                Some(user)
            }
            _ => {
                all.remove(&key(token));
                None
            }
        }
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
        let user = basic(value.as_bytes())
            .and_then(|(user, password)| node.log_in(&user, &password, from));
        return match user {
            Some(user) => Ok(Caller { user, from }),
            None => Err(Answer::error(StatusCode::UNAUTHORIZED, "not_authorized", "Login failed")),
        };
    }
    match token(headers) {
        Some(_) if !is_page => {
            let reason = "a request with the cookie of a session needs the header X-Leveret-UI: 1";
            Err(Answer::error(StatusCode::FORBIDDEN, "forbidden", reason))
        }
        Some(token) => match sessions.find(token, node) {
            Some(user) => Ok(Caller { user, from }),
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

/// User and password of a Basic authorization.
fn basic(value: &[u8]) -> Option<(String, Vec<u8>)> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = STANDARD.decode(rest.trim_ascii()).ok()?;
    let at = decoded.iter().position(|byte| *byte == b':')?;
    let user = String::from_utf8(decoded[..at].to_vec()).ok()?;
    Some((user, decoded[at + 1..].to_vec()))
}
