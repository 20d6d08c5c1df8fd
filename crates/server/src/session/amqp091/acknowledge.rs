//! Acknowledging deliveries, and getting them back.

use std::sync::Arc;

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
            self.count_settled(1, how);
            match &mut self.mode {
                Mode::Tx(transaction) => transaction.settle(unacked, how),
                _ => self.let_go(link, &[unacked], how),
            }
            return Ok(());
        }
        // Tag 0 with multiple is all that there is (0-9-1, basic.ack, delivery-tag).
        let taken = match tag {
            0 => self.unacked.take_all(),
            _ => self.unacked.take_through(tag).ok_or_else(|| unknown_tag(tag))?,
        };
        self.count_settled(taken.len() as u64, how);
        match &mut self.mode {
            Mode::Tx(transaction) => {
                taken.into_iter().for_each(|unacked| transaction.settle(unacked, how));
            }
            _ => self.let_go(link, &taken, how),
        }
        Ok(())
    }

    fn count_settled(&self, count: u64, how: Settlement) {
        self.stats.settled.add(count);
        if how == Settlement::Ack {
            self.stats.ack.add(count);
        }
    }

    /// Settles deliveries for good.
    fn let_go(&self, link: &mut Link, all: &[Unacked], how: Settlement) {
        for run in all.chunk_by(|one, next| Arc::ptr_eq(&one.queue, &next.queue)) {
            link.settle(&run[0].queue, run.iter().map(|unacked| unacked.seq), how);
        }
        let counted = all.iter().filter(|unacked| unacked.by_consumer).count();
        if counted > 0 {
            link.release_limit(self.number, &self.limit, counted as u32);
        }
    }

    pub(super) fn on_recover(&mut self, link: &mut Link, requeue: bool, answer: bool) -> Outcome {
        if !requeue {
            return Err(Failure::new(ReplyCode::NotImplemented, "requeue=false"));
        }
        let all = self.unacked.take_all();
        self.count_settled(all.len() as u64, Settlement::Release);
        self.let_go(link, &all, Settlement::Release);
        link.flush();
        self.answer(link, !answer, &Method::BasicRecoverOk {});
        Ok(())
    }
}

fn unknown_tag(tag: u64) -> Failure {
    Failure::precondition(format!("unknown delivery tag {tag}"))
}
