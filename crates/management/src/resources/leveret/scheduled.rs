//! Messages that wait in an exchange for their time.

use leveret_broker::auth::Permission;
use leveret_broker::broker::Scheduled;
use leveret_broker::error::Resource;
use leveret_broker::ids::{Name, Seq};
use serde_json::json;

use super::browse::Look;
use crate::answer::{Answer, Outcome};
use crate::declare::{Asked, Kind, Need, asks};
use crate::request::Call;
use crate::resources::missing_or;

pub(super) const ONE: &[Asked] = &[Asked {
    need: Need::OwnWords,
    ..asks("position", Kind::From(0), "the `position` by which it is listed")
}];

/// The vhost of the exchange that the path names, if the caller may do that with it.
fn check(call: &Call<'_>, permission: Permission) -> Result<Name, Answer> {
    let vhost = call.vhost_to_use(call.name(0))?;
    vhost.exchange(call.exchange(1)).map_err(missing_or)?;
    let who = call.principal(&vhost.name);
    vhost.permit(&who, permission, Resource::Exchange(call.exchange(1), &vhost.name))?;
    Ok(vhost.name.clone())
}

pub(super) fn list(call: &Call<'_>) -> Outcome {
    let (vhost, look) = (check(call, Permission::Read)?, Look::read(call)?);
    let request = look.request();
    let found = call.app.broker().scheduled(&vhost, call.exchange(1), &request, call.now())?;
    look.answer(found, "due_at")
}

fn cancel_which(call: &Call<'_>, which: Scheduled<'_>) -> Outcome {
    let vhost = check(call, Permission::Configure)?;
    let exchange = call.exchange(1);
    let cancelled = call.app.broker().cancel_scheduled(&vhost, exchange, which, call.now())?;
    call.audit("scheduled messages cancelled", &format!("{vhost}/{exchange}"));
    Ok(Answer::json(&json!({ "cancelled": cancelled.0 })).after(cancelled.1))
}

pub(super) fn cancel(call: &Call<'_>) -> Outcome {
    cancel_which(call, Scheduled::MessageId(call.name(2)))
}

pub(super) fn cancel_one(call: &Call<'_>) -> Outcome {
    let position = call.query.number("position")?;
    let position = position.ok_or_else(|| Answer::bad("position must be given"))?;
    cancel_which(call, Scheduled::Seq(Seq(position)))
}
