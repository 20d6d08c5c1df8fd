//! Direct reply-to (RabbitMQ: Direct Reply-to): replies go to the requester's channel without a
//! queue, at most once. The address holds a token that cannot be guessed.

use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashMap;

use super::Broker;
use crate::ids::{ConsumerId, Seq};
use crate::message::Message;
use crate::queue::{Delivery, Outlet};

/// The queue name that a requester consumes from, and names in `reply-to`.
pub const REPLY_TO: &str = "amq.rabbitmq.reply-to";
/// What stands before the token in the address that the replier sees.
pub const REPLY_TO_PREFIX: &str = "amq.rabbitmq.reply-to.";

struct Requester {
    consumer: ConsumerId,
    outlet: Arc<dyn Outlet>,
}

/// The requesters that wait for replies, by token.
#[derive(Default)]
pub(super) struct Replies {
    by_token: RwLock<HashMap<String, Requester>>,
}

impl Replies {
    pub(super) fn is_live(&self, token: &str) -> bool {
        self.by_token.read().unwrap_or_else(PoisonError::into_inner).contains_key(token)
    }
}

impl Broker {
    /// Opens a reply address for a consumer; the token to put behind [`REPLY_TO_PREFIX`].
    pub fn open_replies(&self, consumer: ConsumerId, outlet: Arc<dyn Outlet>) -> String {
        let token = self.tokens().name("");
        let requester = Requester { consumer, outlet };
        let mut by_token = self.replies.by_token.write().unwrap_or_else(PoisonError::into_inner);
        by_token.insert(token.clone(), requester);
        token
    }

    /// Closes a reply address.
    pub fn close_replies(&self, token: &str) {
        let mut by_token = self.replies.by_token.write().unwrap_or_else(PoisonError::into_inner);
        by_token.remove(token);
    }

    /// Delivers a reply; false without a requester. One whose requester does not read vanishes.
    pub fn reply(&self, token: &str, message: Message) -> bool {
        let by_token = self.replies.by_token.read().unwrap_or_else(PoisonError::into_inner);
        let Some(requester) = by_token.get(token) else { return false };
        let claimed = message.size();
        if requester.outlet.reserve(claimed) {
            let consumer = requester.consumer;
            let (seq, redelivered) = (Seq(0), false);
            let delivery = Delivery { consumer, seq, redelivered, message, claimed };
            requester.outlet.deliver(&mut vec![delivery]);
        }
        true
    }
}
