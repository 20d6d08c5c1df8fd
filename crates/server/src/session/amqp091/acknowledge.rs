//! Acknowledging deliveries, and getting them back.

use leveret_broker::queue::Settlement;
use leveret_wire::amqp091::ReplyCode;
use leveret_wire::amqp091::method::Method;

use super::channel::{Channel, Mode};
use super::failure::{Failure, Outcome};
use super::link::Link;
use super::unacked::Unacked;

impl Channel {
    pub(super) fn on_ack(&mut self, link: &mut Link, tag: u64, multiple: bool) -> Outcome {
        self.settle_tag(link, tag, multiple, Settlement::Ack)
    }

    pub(super) fn on_nack(
        &mut self,
        link: &mut Link,
        tag: u64,
        multiple: bool,
        requeue: bool,
    ) -> Outcome {
        let how = if requeue { Settlement::Requeue } else { Settlement::Reject };
        self.settle_tag(link, tag, multiple, how)
    }

    fn settle_tag(
        &mut self,
        link: &mut Link,
        tag: u64,
        multiple: bool,
        how: Settlement,
    ) -> Outcome {
        if !multiple {
            let unacked = self.unacked.take(tag).ok_or_else(|| unknown_tag(tag))?;
            self.settle_one(link, unacked, how);
            return Ok(());
        }
        // Tag 0 with multiple is all that there is (0-9-1, basic.ack, delivery-tag).
        let taken = match tag {
            0 => self.unacked.take_all(),
            _ => self.unacked.take_through(tag).ok_or_else(|| unknown_tag(tag))?,
        };
        for unacked in taken {
            self.settle_one(link, unacked, how);
        }
        Ok(())
    }

    fn settle_one(&mut self, link: &mut Link, unacked: Unacked, how: Settlement) {
        if let Mode::Tx(transaction) = &mut self.mode {
            transaction.settle(unacked, how);
            return;
        }
        self.let_go(link, &unacked, how);
    }

    /// Settles a delivery for good.
    pub(super) fn let_go(&self, link: &mut Link, unacked: &Unacked, how: Settlement) {
        link.settle(&unacked.queue, unacked.seq, how);
        if unacked.by_consumer {
            link.release_limit(self.number, &self.limit);
        }
    }

    pub(super) fn on_recover(&mut self, link: &mut Link, requeue: bool, answer: bool) -> Outcome {
        if !requeue {
            return Err(Failure::new(ReplyCode::NotImplemented, "requeue=false"));
        }
        for unacked in self.unacked.take_all() {
            self.let_go(link, &unacked, Settlement::Release);
        }
        link.flush();
        self.answer(link, !answer, &Method::BasicRecoverOk {});
        Ok(())
    }
}

fn unknown_tag(tag: u64) -> Failure {
    Failure::precondition(format!("unknown delivery tag {tag}"))
}
