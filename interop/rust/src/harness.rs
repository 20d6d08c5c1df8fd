//! What every flow needs: connections, checked assertions, waits that end, and tidying up.
//!
//! A flow is an async function taking a `Flow`. It fails by giving any error at all; `run` prints
//! one line for each. Nothing here knows what the flows do.

use std::cell::RefCell;
use std::env;
use std::error::Error;
use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::pin::Pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt};
use lapin::message::{BasicReturnMessage, Delivery};
use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ErrorKind,
    ExchangeKind,
};

pub type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;
pub type Body = for<'a> fn(&'a Flow) -> Pin<Box<dyn Future<Output = Result> + 'a>>;

/// The longest any single wait takes.
const WAIT: Duration = Duration::from_secs(10);
/// The longest a whole flow takes, whatever it is stuck in.
const FLOW: Duration = Duration::from_secs(60);
static RUN: LazyLock<String> =
    LazyLock::new(|| format!("{:016x}", RandomState::new().hash_one(()))[..8].to_owned());

/// Names and boxes the flows of a module, for `run`.
macro_rules! flows {
    ($($name:ident),* $(,)?) => {
        &[$((stringify!($name), |flow| Box::pin($name(flow)))),*]
    };
}
pub(crate) use flows;

pub fn check(condition: bool, message: impl Into<String>) -> Result {
    if condition { Ok(()) } else { Err(message.into().into()) }
}

pub fn equal<A: PartialEq<E> + Debug, E: Debug>(actual: A, expected: E, what: &str) -> Result {
    let matches = actual == expected;
    check(matches, format!("{what}: expected {expected:?}, got {actual:?}"))
}

/// What `future` gives, or an error with `message` when it takes too long.
pub async fn within<T>(future: impl Future<Output = T>, message: &str) -> Result<T> {
    tokio::time::timeout(WAIT, future).await.map_err(|_| message.into())
}

/// One flow's connections and names; everything it declared is gone after `close`.
pub struct Flow {
    name: &'static str,
    connections: RefCell<Vec<Rc<Connection>>>,
    channels: RefCell<Vec<Channel>>, // kept open: lapin fails to close both at the same time
    queues: RefCell<Vec<String>>,
    exchanges: RefCell<Vec<String>>,
}

impl Flow {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            connections: RefCell::default(),
            channels: RefCell::default(),
            queues: RefCell::default(),
            exchanges: RefCell::default(),
        }
    }

    pub fn unique(&self, suffix: &str) -> String {
        format!("interop.rust.{}.{}.{suffix}", *RUN, self.name)
    }

    pub async fn connect(&self) -> Result<Rc<Connection>> {
        let connection = Rc::new(open().await?);
        self.connections.borrow_mut().push(connection.clone());
        Ok(connection)
    }

    pub async fn plain_channel(&self, connection: &Connection) -> Result<Channel> {
        let channel = connection.create_channel().await?;
        self.channels.borrow_mut().push(channel.clone());
        Ok(channel)
    }

    /// A channel in confirm mode: `publish` returns once the broker has taken the message over.
    pub async fn channel_on(&self, connection: &Connection) -> Result<Channel> {
        let channel = self.plain_channel(connection).await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(channel)
    }

    /// A channel in confirm mode on a connection of its own.
    pub async fn channel(&self) -> Result<Channel> {
        let connection = self.connect().await?;
        self.channel_on(&connection).await
    }

    pub async fn queue(&self, channel: &Channel, suffix: &str) -> Result<String> {
        let (options, arguments) = (QueueDeclareOptions::default(), FieldTable::default());
        self.queue_with(channel, suffix, options, arguments).await
    }

    pub async fn queue_with(
        &self,
        channel: &Channel,
        suffix: &str,
        options: QueueDeclareOptions,
        arguments: FieldTable,
    ) -> Result<String> {
        let name = self.unique(suffix);
        self.queues.borrow_mut().push(name.clone());
        channel.queue_declare(name.as_str().into(), options, arguments).await?;
        Ok(name)
    }

    pub async fn exchange(
        &self,
        channel: &Channel,
        suffix: &str,
        kind: ExchangeKind,
    ) -> Result<String> {
        let (options, arguments) = (ExchangeDeclareOptions::default(), FieldTable::default());
        self.exchange_with(channel, suffix, kind, options, arguments).await
    }

    pub async fn exchange_with(
        &self,
        channel: &Channel,
        suffix: &str,
        kind: ExchangeKind,
        options: ExchangeDeclareOptions,
        arguments: FieldTable,
    ) -> Result<String> {
        let name = self.unique(suffix);
        self.exchanges.borrow_mut().push(name.clone());
        channel.exchange_declare(name.as_str().into(), kind, options, arguments).await?;
        Ok(name)
    }

    async fn close(self) -> Result {
        for connection in self.connections.into_inner() {
            if connection.status().connected() {
                connection.close(200, "done".into()).await?;
            }
        }
        let connection = open().await?;
        let channel = connection.create_channel().await?;
        for name in self.queues.into_inner() {
            channel.queue_delete(name.into(), QueueDeleteOptions::default()).await?;
        }
        for name in self.exchanges.into_inner() {
            channel.exchange_delete(name.into(), ExchangeDeleteOptions::default()).await?;
        }
        Ok(connection.close(200, "done".into()).await?)
    }
}

async fn open() -> Result<Connection> {
    let uri = env::var("AMQP_URL");
    let uri = uri.as_deref().unwrap_or("amqp://guest:guest@127.0.0.1:5672/%2F");
    let connecting = Connection::connect(uri, ConnectionProperties::default());
    Ok(within(connecting, "connecting took too long").await??)
}

/// Collects deliveries; `wait` gives them once enough came.
pub struct Consumer {
    pub channel: Channel,
    stream: lapin::Consumer,
    deliveries: Vec<Delivery>,
}

impl Consumer {
    pub async fn start(channel: &Channel, queue: &str) -> Result<Self> {
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        Self::start_with(channel, queue, options, arguments).await
    }

    pub async fn start_auto_ack(channel: &Channel, queue: &str) -> Result<Self> {
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        Self::start_with(channel, queue, options, FieldTable::default()).await
    }

    pub async fn start_with(
        channel: &Channel,
        queue: &str,
        options: BasicConsumeOptions,
        arguments: FieldTable,
    ) -> Result<Self> {
        let stream = channel.basic_consume(queue.into(), "".into(), options, arguments).await?;
        Ok(Self { channel: channel.clone(), stream, deliveries: Vec::new() })
    }

    pub async fn wait(&mut self, count: usize) -> Result<&[Delivery]> {
        let deadline = Instant::now() + WAIT;
        while self.deliveries.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, self.stream.next()).await {
                Ok(Some(delivery)) => self.deliveries.push(delivery?),
                ended => {
                    let how = if ended.is_ok() { "cancelled" } else { "too late" };
                    let got = self.bodies()?;
                    return Err(format!("{how}: waited for {count} deliveries, got {got:?}").into());
                }
            }
        }
        equal(self.deliveries()?.len(), count, "number of deliveries")?;
        Ok(&self.deliveries)
    }

    /// What came so far.
    pub fn deliveries(&mut self) -> Result<&[Delivery]> {
        while let Some(Some(delivery)) = self.stream.next().now_or_never() {
            self.deliveries.push(delivery?);
        }
        Ok(&self.deliveries)
    }

    pub fn bodies(&mut self) -> Result<Vec<String>> {
        Ok(self.deliveries()?.iter().map(text_of).collect())
    }

    pub fn redelivered(&mut self) -> Result<Vec<bool>> {
        Ok(self.deliveries()?.iter().map(|d| d.redelivered).collect())
    }

    pub async fn ack(&self, position: usize) -> Result {
        let delivery = &self.deliveries[position];
        delivery.ack(BasicAckOptions::default()).await?;
        Ok(())
    }

    pub async fn cancel(self) -> Result {
        let options = BasicCancelOptions::default();
        Ok(self.channel.basic_cancel(self.stream.tag(), options).await?)
    }

    /// Waits until the broker cancels the consumer; nothing more may be delivered before that.
    pub async fn cancelled(mut self) -> Result {
        match within(self.stream.next(), "no basic.cancel came").await? {
            None => Ok(()),
            Some(other) => Err(format!("expected basic.cancel, got {other:?}").into()),
        }
    }
}

pub fn text_of(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.data).into_owned()
}

/// Publishes and, in confirm mode, waits for the confirm.
pub async fn publish(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: impl AsRef<[u8]>,
) -> lapin::Result<()> {
    publish_with(channel, exchange, key, body, BasicProperties::default()).await
}

pub async fn publish_with(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: impl AsRef<[u8]>,
    properties: BasicProperties,
) -> lapin::Result<()> {
    let options = BasicPublishOptions::default();
    let confirm = channel
        .basic_publish(exchange.into(), key.into(), options, body.as_ref(), properties)
        .await?;
    taken_over(confirm.await?).map(drop)
}

/// Publishes with the mandatory flag; gives the message if the broker returned it.
pub async fn publish_mandatory(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: &str,
) -> lapin::Result<Option<BasicReturnMessage>> {
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let (body, properties) = (body.as_bytes(), BasicProperties::default());
    let confirm =
        channel.basic_publish(exchange.into(), key.into(), options, body, properties).await?;
    taken_over(confirm.await?)
}

/// The returned message of a positive confirm; a negative one is an error.
pub fn taken_over(confirmation: Confirmation) -> lapin::Result<Option<BasicReturnMessage>> {
    if confirmation.is_nack() {
        return Err(io::Error::other("the broker refused a publish").into());
    }
    Ok(confirmation.take_message())
}

pub async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> Result {
    let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind(queue.into(), exchange.into(), key.into(), options, arguments).await?;
    Ok(())
}

pub async fn unbind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> Result {
    channel.queue_unbind(queue.into(), exchange.into(), key.into(), FieldTable::default()).await?;
    Ok(())
}

/// A message of the queue, already acknowledged.
pub async fn take(channel: &Channel, queue: &str) -> Result<Option<Delivery>> {
    let message = channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await?;
    Ok(message.map(|message| message.delivery))
}

/// All (routing key, body) that lie in a queue, in order.
pub async fn drain(channel: &Channel, queue: &str) -> Result<Vec<(String, String)>> {
    let mut messages = Vec::new();
    while let Some(delivery) = take(channel, queue).await? {
        messages.push((delivery.routing_key.to_string(), text_of(&delivery)));
    }
    Ok(messages)
}

/// Declares passively: succeeds if there is such a queue, and tells how many messages lie ready.
pub async fn ready(channel: &Channel, queue: &str) -> lapin::Result<u32> {
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    let declared = channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
    Ok(declared.message_count())
}

/// Asserts that the broker answers `action` by closing its channel or connection with `code`.
pub async fn closes<T>(code: u16, action: impl Future<Output = lapin::Result<T>>) -> Result {
    match within(action, "the broker did not answer").await? {
        Ok(_) => Err(format!("the broker should have closed with {code}").into()),
        Err(error) => match error.kind() {
            ErrorKind::ProtocolError(reply) => {
                let what = format!("reply code of the closing ({})", reply.get_message());
                equal(reply.get_id(), code, &what)
            }
            _ => Err(error.into()),
        },
    }
}

pub async fn queue_exists(connection: &Connection, queue: &str) -> Result<bool> {
    let channel = connection.create_channel().await?;
    let declared = ready(&channel, queue).await;
    found(&channel, declared.map(drop)).await
}

pub async fn exchange_exists(connection: &Connection, exchange: &str) -> Result<bool> {
    let channel = connection.create_channel().await?;
    let options = ExchangeDeclareOptions { passive: true, ..Default::default() };
    let (kind, arguments) = (ExchangeKind::default(), FieldTable::default());
    let declared = channel.exchange_declare(exchange.into(), kind, options, arguments);
    found(&channel, declared.await).await
}

async fn found(channel: &Channel, declared: lapin::Result<()>) -> Result<bool> {
    if declared.is_ok() {
        channel.close(200, "done".into()).await?;
        return Ok(true);
    }
    closes(404, async { declared }).await?;
    Ok(false)
}

/// A field table of its entries.
pub fn table<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert(key.into(), value);
    }
    table
}

pub fn text(value: &str) -> AMQPValue {
    LongString::from(value).into()
}

async fn run_one(name: &'static str, body: Body) -> bool {
    let flow = Flow::new(name);
    let started = Instant::now();
    let mut problems = Vec::new();
    problems.extend(attempt(body(&flow)).await);
    problems.extend(attempt(flow.close()).await);
    let took = format!("{name} {} ms", started.elapsed().as_millis());
    match problems.is_empty() {
        true => println!("ok {took}"),
        false => println!("FAIL {took} {}", problems.join("; ")),
    }
    problems.is_empty()
}

/// Why `future` failed, or that it took too long.
async fn attempt(future: impl Future<Output = Result>) -> Option<String> {
    match tokio::time::timeout(FLOW, future).await {
        Ok(outcome) => outcome.err().map(|error| error.to_string()),
        Err(_) => Some(format!("took longer than {FLOW:?}")),
    }
}

/// Runs the flows named on the command line, or all; the exit code is not zero when one failed.
pub async fn run(flows: &[(&'static str, Body)]) -> ExitCode {
    let mut wanted: Vec<String> = env::args().skip(1).collect();
    if wanted.is_empty() {
        wanted = flows.iter().map(|(name, _)| (*name).to_owned()).collect();
    }
    let mut passed = true;
    for wanted in wanted {
        match flows.iter().find(|(name, _)| *name == wanted) {
            Some((name, body)) => passed &= run_one(name, *body).await,
            None => {
                println!("FAIL {wanted} 0 ms there is no such flow");
                passed = false;
            }
        }
    }
    ExitCode::from(u8::from(!passed))
}
