//! Which path is which resource: the table of all of them, with what each takes and gives.

use std::net::IpAddr;

use hyper::header::ALLOW;
use hyper::{Method, StatusCode};

use crate::answer::{Answer, Outcome};
use crate::app::App;
use crate::auth::Level;
use crate::declare::{Asked, Body, Field, Gives};
use crate::request::Call;
use crate::resources as at;

/// The largest body of a request, and that of the few that bring definitions or messages.
const BODY_MAX: usize = 10 << 10;
const LARGE_MAX: usize = 20 << 20;

/// A request of somebody who need not be known.
pub(crate) struct Visit<'a> {
    pub(crate) app: &'a App,
    pub(crate) from: IpAddr,
    pub(crate) body: &'a [u8],
    pub(crate) route: &'static Route,
}

/// What carries a request out.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    /// For callers of a level.
    Known(Level, fn(&Call<'_>) -> Outcome),
    Anybody(fn(&Visit<'_>) -> Outcome),
}

/// A method of a path, with what it takes and gives.
#[derive(Clone, Copy)]
pub(crate) struct Route {
    pub(crate) method: &'static str,
    /// Below `/api/`; a name stands as `{what it is of}`.
    pub(crate) path: &'static str,
    pub(crate) handler: Handler,
    pub(crate) body_max: usize,
    pub(crate) summary: &'static str,
    pub(crate) gives: Gives,
    pub(crate) body: Body,
    pub(crate) query: &'static [Asked],
    /// Whether the query may ask for histories of numbers.
    pub(crate) histories: bool,
    /// Another status by which it may refuse, and when.
    pub(crate) refuses: Option<(u16, &'static str)>,
}

/// A route for callers of a level.
pub(crate) const fn route(
    method: &'static str,
    path: &'static str,
    level: Level,
    handler: fn(&Call<'_>) -> Outcome,
) -> Route {
    open(method, path, Handler::Known(level, handler))
}

/// A route for whom its handler is for.
pub(crate) const fn open(method: &'static str, path: &'static str, handler: Handler) -> Route {
    Route {
        method,
        path,
        handler,
        body_max: BODY_MAX,
        summary: "",
        gives: Gives::Nothing,
        body: Body::None,
        query: &[],
        histories: false,
        refuses: None,
    }
}

impl Route {
    /// Says in a line what it does, and how it answers.
    pub(crate) const fn gives(self, gives: Gives, summary: &'static str) -> Self {
        Self { gives, summary, ..self }
    }

    /// Takes a body with these keys.
    pub(crate) const fn takes(self, fields: &'static [Field]) -> Self {
        Self { body: Body::Fields(fields), ..self }
    }

    /// Takes a file of definitions.
    pub(crate) const fn takes_definitions(self) -> Self {
        Self { body: Body::Definitions, ..self }.large()
    }

    /// Understands these parameters of the query.
    pub(crate) const fn asks(self, query: &'static [Asked]) -> Self {
        Self { query, ..self }
    }

    /// Its numbers may come with histories.
    pub(crate) const fn histories(self) -> Self {
        Self { histories: true, ..self }
    }

    /// Takes a large body.
    pub(crate) const fn large(self) -> Self {
        Self { body_max: LARGE_MAX, ..self }
    }

    /// May refuse by another status.
    pub(crate) const fn refuses(self, status: u16, when: &'static str) -> Self {
        Self { refuses: Some((status, when)), ..self }
    }

    /// The keys that its body may have.
    pub(crate) fn fields(&self) -> &'static [Field] {
        match self.body {
            Body::Fields(fields) => fields,
            Body::None | Body::Definitions => &[],
        }
    }
}

/// All routes, in the order in which they are tried.
pub(crate) fn all() -> impl Iterator<Item = &'static Route> {
    at::ROUTES.iter().flat_map(|table| table.iter())
}

/// What a part of a path is a name of, if it is one.
pub(crate) fn placeholder(part: &str) -> Option<&str> {
    part.strip_prefix('{')?.strip_suffix('}')
}

/// A resource with the names in its path.
pub(crate) struct Found {
    pub(crate) route: &'static Route,
    pub(crate) names: Vec<String>,
}

/// The names in `parts` if they fit a path.
fn names(path: &str, parts: &[String]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = parts.iter();
    for wanted in path.split('/') {
        let part = rest.next()?;
        match wanted {
            wanted if placeholder(wanted).is_some() => names.push(part.clone()),
            wanted if wanted == part => {}
            _ => return None,
        }
    }
    rest.next().is_none().then_some(names)
}

/// The resource of a request; else the answer that says what is there.
pub(crate) fn find(method: &Method, mut parts: Vec<String>) -> Result<Found, Answer> {
    if parts.len() > 1 && parts.last().is_some_and(String::is_empty) {
        parts.pop();
    }
    let wanted = if *method == Method::HEAD { "GET" } else { method.as_str() };
    let mut allowed: Vec<&str> = Vec::new();
    for route in all() {
        let Some(names) = names(route.path, &parts) else { continue };
        if route.method == wanted {
            return Ok(Found { route, names });
        }
        allowed.push(route.method);
    }
    if allowed.is_empty() {
        return Err(Answer::not_found());
    }
    if allowed.contains(&"GET") {
        allowed.insert(0, "HEAD");
    }
    allowed.push("OPTIONS");
    let status = match *method == Method::OPTIONS {
        true => StatusCode::OK,
        false => StatusCode::METHOD_NOT_ALLOWED,
    };
    Err(Answer::empty(status).with(ALLOW, &allowed.join(", ")))
}
