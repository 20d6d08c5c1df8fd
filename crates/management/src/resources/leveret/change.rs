//! Deleting, moving and redriving messages that were found by looking.
//!
//! Invariants: who may not read the queue, or write to where messages go, changes nothing; one
//! request works for a bounded time and says where to go on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leveret_broker::auth::Permission;
use leveret_broker::broker::{BrowseRequest, MoveTo, Moved, Selection};
use leveret_broker::error::Resource;
use leveret_broker::ids::{Name, Seq};
use leveret_broker::log::Position;
use leveret_broker::message::Filter;
use leveret_broker::queue::{Cursor, QueueHandle};
use serde_json::{Map, Value, json};

use super::browse::{filter, queue, read_cursor, show_cursor};
use crate::answer::{Answer, Outcome};
use crate::declare::{Field, Kind, may, own};
use crate::request::{Call, number, text, truth};
use crate::resources::missing_or;

/// How long one request works, at most.
const WORK_MAX: Duration = Duration::from_secs(20);
/// How many messages are taken in one step.
const STEP: usize = 1_000;
/// How many positions a request may name.
const POSITIONS_MAX: usize = 100_000;
/// How often a rate is looked at, in a second.
const STEPS_A_SECOND: u64 = 10;

/// What a body says: either `positions` or `where` must be there.
pub(super) const FIELDS: &[Field] = &[
    may("positions", Kind::Numbers),
    may("where", Kind::Texts),
    may("from", Kind::Text),
    may("dry_run", Kind::Truth),
    may("limit", Kind::From(1)),
    may("rate", Kind::From(1)),
];
pub(super) const MOVE: &[Field] = &[
    own("to", Kind::Object),
    may("positions", Kind::Numbers),
    may("where", Kind::Texts),
    may("from", Kind::Text),
    may("dry_run", Kind::Truth),
    may("limit", Kind::From(1)),
    may("rate", Kind::From(1)),
];

/// Which messages are meant.
enum Which {
    Positions(Vec<Seq>),
    Found(Filter, Option<Cursor>),
}

/// Where they go; nowhere is out of the world.
enum To {
    Nowhere,
    Queue(String),
    Exchange(String, Option<String>),
    Origin,
}

impl To {
    fn read(fields: &Map<String, Value>) -> Result<Self, Answer> {
        let Some(Value::Object(to)) = fields.get("to") else {
            return Err(Answer::bad("[{key_missing,to}]"));
        };
        if to.contains_key("queue") {
            return Ok(Self::Queue(text(to, "queue")?.to_owned()));
        }
        if !to.contains_key("exchange") {
            return Err(Answer::bad("to must name a queue or an exchange"));
        }
        let key = to.contains_key("routing_key").then(|| text(to, "routing_key"));
        let key = key.transpose()?.map(str::to_owned);
        Ok(Self::Exchange(text(to, "exchange")?.to_owned(), key))
    }

    fn target(&self) -> Option<MoveTo<'_>> {
        match self {
            Self::Nowhere => None,
            Self::Queue(name) => Some(MoveTo::Queue(name)),
            Self::Exchange(name, key) => Some(MoveTo::Exchange(name, key.as_deref())),
            Self::Origin => Some(MoveTo::Origin),
        }
    }

    /// Whether the caller may write there.
    fn check(&self, call: &Call<'_>, queue: &QueueHandle) -> Result<(), Answer> {
        let exchange = match self {
            Self::Nowhere => return Ok(()),
            Self::Queue(_) | Self::Origin => "",
            Self::Exchange(name, _) => name,
        };
        if matches!(self, Self::Queue(name) if **name == *queue.spec.name) {
            return Err(Answer::bad("the messages are in that queue already"));
        }
        let vhost = call.vhost_to_use(&queue.spec.vhost)?;
        vhost.exchange(exchange).map_err(missing_or)?;
        if let Self::Queue(name) = self {
            vhost.queue(name).map_err(missing_or)?;
        }
        let who = call.principal(&vhost.name);
        vhost.permit(&who, Permission::Write, Resource::Exchange(exchange, &vhost.name))?;
        Ok(())
    }
}

/// A change as it was asked for.
struct Change {
    which: Which,
    to: To,
    dry_run: bool,
    limit: usize,
    /// Messages a second.
    rate: Option<u64>,
}

impl Change {
    fn read(fields: &Map<String, Value>, to: To) -> Result<Self, Answer> {
        let which = match (fields.get("positions"), fields.get("where")) {
            (Some(Value::Array(all)), None) if all.len() <= POSITIONS_MAX => {
                let seqs: Option<Vec<Seq>> = all.iter().map(|one| one.as_u64().map(Seq)).collect();
                let bad = || Answer::bad("positions must be whole numbers");
                Which::Positions(seqs.ok_or_else(bad)?)
            }
            (None, Some(Value::Array(all))) => {
                let all: Option<Vec<&str>> = all.iter().map(Value::as_str).collect();
                let all = all.ok_or_else(|| Answer::bad("where must be a list of conditions"))?;
                let from = Some(text(fields, "from")?).filter(|from| !from.is_empty());
                Which::Found(filter(all.into_iter())?, from.map(read_cursor).transpose()?)
            }
            _ => {
                let reason = format!(
                    "either positions, at most {POSITIONS_MAX}, or where must be given as a list"
                );
                return Err(Answer::bad(reason));
            }
        };
        let positive = |key: &str| match number(fields, key)? {
            Some(number) if number < 1 => Err(Answer::bad(format!("{key} must be at least 1"))),
            number => Ok(number.map(|number| number as u64)),
        };
        Ok(Self {
            which,
            to,
            dry_run: truth(fields, "dry_run", false)?,
            limit: positive("limit")?.map_or(usize::MAX, |most| most as usize),
            rate: positive("rate")?,
        })
    }

    /// How many messages the next step may take.
    fn step(&self, done: usize) -> usize {
        let paced = self.rate.map_or(STEP, |rate| rate.div_ceil(STEPS_A_SECOND) as usize);
        paced.min(STEP).min(self.limit - done.min(self.limit))
    }

    /// Waits as the rate wants after `done` messages.
    fn pace(&self, started: Instant, done: usize) {
        let Some(rate) = self.rate else { return };
        let due = Duration::from_secs_f64(done as f64 / rate as f64);
        std::thread::sleep(due.saturating_sub(started.elapsed()).min(Duration::from_secs(1)));
    }
}

/// What a change has come to.
#[derive(Default)]
struct Sum {
    matched: usize,
    moved: usize,
    deleted: usize,
    refused: usize,
    next: Option<Cursor>,
    position: Position,
}

impl Sum {
    fn add(&mut self, moved: &Moved) {
        self.moved += moved.moved;
        self.refused += moved.refused;
        self.matched += moved.moved + moved.refused;
        self.position = self.position.max(moved.position);
    }

    fn answer(&self) -> Answer {
        let value = json!({
            "matched": self.matched, "moved": self.moved, "deleted": self.deleted,
            "refused": self.refused, "next": self.next.map(show_cursor),
        });
        Answer::json(&value).after(self.position)
    }
}

/// Looks for up to `max` messages that a filter finds.
fn find(
    call: &Call<'_>,
    queue: &Arc<QueueHandle>,
    (filter, from): (&Filter, Option<Cursor>),
    max: usize,
) -> (Vec<Seq>, Option<Cursor>) {
    let request = BrowseRequest { from, max_messages: max, max_bytes: usize::MAX, filter };
    let found = call.app.broker().browse(queue, &request, call.now());
    (found.messages.iter().map(|one| one.at.seq).collect(), found.next)
}

/// Changes those that a filter finds, step by step.
fn change_found(
    call: &Call<'_>,
    queue: &Arc<QueueHandle>,
    change: &Change,
    (filter, from): (&Filter, Option<Cursor>),
) -> Result<Sum, Answer> {
    let (started, broker) = (Instant::now(), call.app.broker());
    let who = call.principal(&queue.spec.vhost);
    let mut sum = Sum { next: from, ..Sum::default() };
    loop {
        let most = change.step(sum.matched);
        match change.to.target() {
            Some(to) if !change.dry_run => {
                let selection = (Selection::Filter(sum.next, filter), most);
                let moved = broker.move_messages(&who, queue, selection, to, call.now())?;
                sum.add(&moved);
                sum.next = moved.next;
            }
            _ => {
                let (seqs, next) = find(call, queue, (filter, sum.next), most);
                sum.matched += seqs.len();
                if !change.dry_run {
                    let (deleted, position) = broker.delete_messages(queue, &seqs, call.now());
                    sum.deleted += deleted;
                    sum.position = sum.position.max(position);
                }
                sum.next = next;
            }
        }
        let over = started.elapsed() > WORK_MAX || sum.matched >= change.limit;
        if sum.next.is_none() || over {
            return Ok(sum);
        }
        change.pace(started, sum.matched);
    }
}

/// Changes those at some positions.
fn change_positions(
    call: &Call<'_>,
    queue: &Arc<QueueHandle>,
    change: &Change,
    seqs: &[Seq],
) -> Result<Sum, Answer> {
    let (started, broker) = (Instant::now(), call.app.broker());
    let who = call.principal(&queue.spec.vhost);
    let mut sum = Sum::default();
    let mut rest = &seqs[..seqs.len().min(change.limit)];
    if change.dry_run {
        sum.matched = broker.ready_among(queue, rest, call.now());
        return Ok(sum);
    }
    let mut done = 0;
    while !rest.is_empty() && started.elapsed() < WORK_MAX {
        let (step, behind) = rest.split_at(change.step(done).clamp(1, rest.len()));
        match change.to.target() {
            Some(to) => {
                let selection = (Selection::Seqs(step), usize::MAX);
                sum.add(&broker.move_messages(&who, queue, selection, to, call.now())?);
            }
            None => {
                let (deleted, position) = broker.delete_messages(queue, step, call.now());
                sum.matched += deleted;
                sum.deleted += deleted;
                sum.position = sum.position.max(position);
            }
        }
        (done, rest) = (done + step.len(), behind);
        change.pace(started, done);
    }
    Ok(sum)
}

fn change(call: &Call<'_>, to: To, what: &'static str) -> Outcome {
    let queue = queue(call)?;
    let change = Change::read(&call.object()?, to)?;
    change.to.check(call, &queue)?;
    let sum = match &change.which {
        Which::Positions(seqs) => change_positions(call, &queue, &change, seqs)?,
        Which::Found(filter, from) => change_found(call, &queue, &change, (filter, *from))?,
    };
    if !change.dry_run {
        let name: Name = queue.spec.name.clone();
        call.audit(what, &format!("{}/{name}", queue.spec.vhost));
    }
    Ok(sum.answer())
}

pub(super) fn delete(call: &Call<'_>) -> Outcome {
    change(call, To::Nowhere, "messages deleted")
}

pub(super) fn relocate(call: &Call<'_>) -> Outcome {
    let to = To::read(&call.object()?)?;
    change(call, to, "messages moved")
}

pub(super) fn redrive(call: &Call<'_>) -> Outcome {
    change(call, To::Origin, "messages redriven")
}
