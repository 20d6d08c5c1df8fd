//! Where other connections' tasks and the broker leave what a connection is to send.
//!
//! Invariant: `used` counts the bytes of deliveries from the moment a queue reserved them until the
//! connection has written them, and is at most `limit` plus one message.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::login::{Identity, Refused};
use atomic_waker::AtomicWaker;
use leveret_broker::broker::AccessChange;
use leveret_broker::ids::ConsumerId;
use leveret_broker::log::Wake;
use leveret_broker::queue::{Delivery, Outlet};

/// What a connection finds in its mailbox. A queue that is gone delivers nothing more, so that the
/// consumers that went with it stand behind all deliveries.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    /// Messages for its consumers, in order.
    pub(crate) deliveries: Vec<Delivery>,
    /// Consumers whose queues are gone.
    pub(crate) cancelled: Vec<ConsumerId>,
}

impl Mail {
    fn is_empty(&self) -> bool {
        self.deliveries.is_empty() && self.cancelled.is_empty()
    }
}

/// What the server tells a connection.
#[derive(Debug, Clone)]
pub(crate) enum Notice {
    /// Close with `320 CONNECTION_FORCED` and this reason.
    Close(String),
    /// End at once, without a word.
    Cut,
    /// The first resource alarm went on.
    Blocked,
    /// All resource alarms are off.
    Unblocked,
    /// Users, vhosts or permissions have changed.
    Access(AccessChange),
    /// The check of a login, or of a new secret, is over: who it is, if it is right.
    Login(Result<Identity, Refused>),
    /// Consumer timeouts have changed: a silent connection is to look at the newest.
    Timeouts,
}

#[derive(Debug)]
pub(crate) struct Mailbox {
    mail: Mutex<Mail>,
    notices: Mutex<Vec<Notice>>,
    /// There may be mail, notices or durable positions: set before the waker is called.
    signal: AtomicBool,
    used: AtomicUsize,
    limit: usize,
    /// A queue was refused room.
    starved: AtomicBool,
    waker: AtomicWaker,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mailbox {
    /// A mailbox for deliveries of about `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            mail: Mutex::default(),
            notices: Mutex::default(),
            signal: AtomicBool::new(false),
            used: AtomicUsize::new(0),
            limit,
            starved: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    /// Has `waker` called at the next signal.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Whether anything came since the last call.
    pub(crate) fn take_signal(&self) -> bool {
        self.signal.load(Ordering::Acquire) && self.signal.swap(false, Ordering::AcqRel)
    }

    fn raise(&self) {
        if !self.signal.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Takes all mail by swapping it with `empty`, so that both keep their memory.
    pub(crate) fn take_mail(&self, empty: &mut Mail) {
        debug_assert!(empty.is_empty(), "what is swapped in must be empty");
        std::mem::swap(&mut *lock(&self.mail), empty);
    }

    pub(crate) fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut *lock(&self.notices))
    }

    pub(crate) fn notify(&self, notice: Notice) {
        lock(&self.notices).push(notice);
        self.raise();
    }

    /// Gives room back; true when queues were refused meanwhile and are to be resumed.
    pub(crate) fn release(&self, bytes: usize) -> bool {
        self.used.fetch_sub(bytes, Ordering::SeqCst);
        self.starved.load(Ordering::SeqCst) && self.starved.swap(false, Ordering::SeqCst)
    }
}

impl Outlet for Mailbox {
    fn reserve(&self, bytes: usize) -> bool {
        if self.used.load(Ordering::SeqCst) >= self.limit {
            // Flag first, then look again: a release looks at the flag after it has made room.
            self.starved.store(true, Ordering::SeqCst);
            if self.used.load(Ordering::SeqCst) >= self.limit {
                return false;
            }
        }
        self.used.fetch_add(bytes, Ordering::SeqCst);
        true
    }

    fn deliver(&self, deliveries: &mut Vec<Delivery>) {
        lock(&self.mail).deliveries.append(deliveries);
        self.raise();
    }

    fn cancelled(&self, consumer: ConsumerId) {
        lock(&self.mail).cancelled.push(consumer);
        self.raise();
    }
}

impl Wake for Mailbox {
    fn wake(&self) {
        self.raise();
    }
}
