//! Which path is which resource: the table of all of them.

use hyper::header::ALLOW;
use hyper::{Method, StatusCode};

use crate::answer::{Answer, Outcome};
use crate::auth::Level;
use crate::request::Call;
use crate::resources as at;

/// The largest body of a request, and that of the few that bring definitions or messages.
const BODY_MAX: usize = 10 << 10;
const LARGE_MAX: usize = 20 << 20;

/// What carries a request out.
pub(crate) type Handler = fn(&Call<'_>) -> Outcome;

/// A method of a path.
#[derive(Clone, Copy)]
pub(crate) struct Route {
    method: &'static str,
    /// Below `/api/`; `*` is a name.
    path: &'static str,
    pub(crate) level: Level,
    pub(crate) handler: Handler,
    pub(crate) body_max: usize,
}

pub(crate) const fn route(
    method: &'static str,
    path: &'static str,
    level: Level,
    handler: Handler,
) -> Route {
    Route { method, path, level, handler, body_max: BODY_MAX }
}

pub(crate) const fn large(one: Route) -> Route {
    Route { body_max: LARGE_MAX, ..one }
}

#[cfg(test)]
impl Route {
    /// Its method and path.
    pub(crate) fn shown(&self) -> (&'static str, &'static str) {
        (self.method, self.path)
    }
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
            "*" => names.push(part.clone()),
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
    for route in at::ROUTES.iter().flat_map(|table| table.iter()) {
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
