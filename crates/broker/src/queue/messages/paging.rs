//! What of a queue's messages is in memory: putting them away, and taking them back in.

use super::places::Places;
use super::{Away, Body, Context, Head, Level, Messages, Slot};
use crate::ids::{Seq, Timestamp};
use crate::log::{Fetched, RecoveredQueue, SeqRange};
use crate::message::Message;

/// Most places that are asked for at once.
const PLACES_MAX: u64 = 4096;
/// With so few places away the queue has nearly caught up: what is new stays in memory if it fits,
/// or a queue under steady load would read its messages back for ever.
const CAUGHT_UP: usize = 4096;

/// Which messages are to be read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// In the order in which they are needed.
    pub(crate) ranges: Vec<SeqRange>,
    epoch: u64,
}

impl Wanted {
    /// The same, of the first places only.
    pub(in crate::queue) fn prefix(&self, ranges: Vec<SeqRange>) -> Self {
        Self { ranges, epoch: self.epoch }
    }

    /// Each place.
    pub(in crate::queue) fn places(&self) -> impl Iterator<Item = Seq> {
        self.ranges.iter().flat_map(|range| (range.first.0..=range.last.0).map(Seq))
    }
}

/// What came of an answer.
#[derive(Debug, Default)]
pub(in crate::queue) struct Loaded {
    /// Spilled messages that are in memory again.
    pub(in crate::queue) unspill: Vec<SeqRange>,
    /// Anything changed.
    pub(in crate::queue) progress: bool,
}

/// Sorts ranges that have no place in common, and joins those that are side by side.
pub(in crate::queue) fn normalise(ranges: &mut Vec<SeqRange>) {
    if ranges.len() < 2 {
        return;
    }
    ranges.sort_unstable();
    ranges.dedup_by(|next, before| {
        let adjoins = before.last.0.checked_add(1) == Some(next.first.0);
        if adjoins {
            before.last = next.last;
        }
        adjoins
    });
}

/// Collects places up to a bound.
struct Collector {
    ranges: Vec<SeqRange>,
    left: u64,
}

impl Collector {
    fn push(&mut self, range: SeqRange) {
        let count = range.count().min(self.left);
        if count == 0 {
            return;
        }
        self.left -= count;
        let last = Seq(range.first.0 + count - 1);
        match self.ranges.last_mut() {
            Some(before) if before.last.0 + 1 == range.first.0 => before.last = last,
            _ => self.ranges.push(SeqRange { first: range.first, last }),
        }
    }
}

impl Level {
    /// Adds what of this level's first `room` bytes is away, beyond its head; what room is left.
    fn want_more(&self, mut room: u64, wanted: &mut Collector) -> u64 {
        let head = self.head();
        for slot in self.returned.values() {
            if room == 0 || wanted.left == 0 {
                return 0;
            }
            room = room.saturating_sub(slot.size() as u64);
            if !slot.is_here() && head != Head::Away(slot.seq) {
                wanted.push(SeqRange::one(slot.seq));
            }
        }
        room = room.saturating_sub(self.fresh_bytes);
        if room == 0 {
            return 0;
        }
        for mut range in self.stored.ranges() {
            if head == Head::Away(range.first) {
                if range.first == range.last {
                    continue;
                }
                range.first.0 += 1;
            }
            if wanted.left == 0 {
                break;
            }
            wanted.push(range);
        }
        // Nobody knows how large those are.
        if self.stored.is_empty() { room } else { 0 }
    }
}

impl Messages {
    /// Takes over what the log kept; all of it stays there for the time being.
    pub(in crate::queue) fn recover(&mut self, recovered: RecoveredQueue) {
        self.last_seq = recovered.last_seq.0;
        let mut all = vec![Vec::new(); self.levels.len()];
        for (level, ranges) in recovered.levels {
            all[self.level_index(level)].extend(ranges);
        }
        let mut count = 0;
        for (level, mut ranges) in self.levels.iter_mut().zip(all) {
            normalise(&mut ranges);
            count += ranges.iter().map(SeqRange::count).sum::<u64>();
            if !ranges.is_empty() {
                level.unknown_through = recovered.last_seq;
            }
            level.stored = Places::new(ranges);
        }
        self.ready = usize::try_from(count).unwrap_or(usize::MAX);
        self.away = Away {
            count: self.ready,
            bytes: if count == 0 { 0 } else { recovered.body_bytes },
            marks: recovered
                .returns
                .into_iter()
                .map(|(seq, times)| (seq, (times, false)))
                .collect(),
            redelivered_through: recovered.delivered,
            spilled: false,
        };
    }

    /// Whether a level begins with a place that no slot stands for: when it expires is unknown.
    pub(in crate::queue) fn lacks_head(&self) -> bool {
        self.away.count > 0
            && self.levels.iter().any(|level| level.front().is_none() && !level.stored.is_empty())
    }

    /// Whether less than `bytes` stand in front of the first stored place.
    pub(in crate::queue) fn is_short(&self, bytes: u64) -> bool {
        let mut seen = 0;
        self.away.count > 0
            && self.levels.iter().rev().any(|level| {
                seen += level.returned_bytes + level.fresh_bytes;
                seen < bytes && !level.stored.is_empty()
            })
    }

    /// Whether there are spilled messages.
    pub(in crate::queue) fn has_spilled(&self) -> bool {
        self.away.spilled || self.departures.has_spilled()
    }

    /// The memory of what is known of places.
    pub(super) fn places_bytes(&self) -> u64 {
        let ranges: usize = self.levels.iter().map(|level| level.stored.len()).sum();
        (ranges * size_of::<SeqRange>() + self.away.marks.len() * 32) as u64
    }

    /// What must be read back next: the head of each level, the highest first; then what is away
    /// among the first `max_bytes` in the order of delivery.
    pub(in crate::queue) fn wanted(&self, max_bytes: usize) -> Wanted {
        let mut wanted = Collector { ranges: Vec::new(), left: PLACES_MAX };
        for level in self.levels.iter().rev() {
            if let Head::Away(seq) = level.head() {
                wanted.push(SeqRange::one(seq));
            }
        }
        let mut room = max_bytes as u64;
        for level in self.levels.iter().rev() {
            room = level.want_more(room, &mut wanted);
            if room == 0 {
                break;
            }
        }
        Wanted { ranges: wanted.ranges, epoch: self.epoch }
    }

    /// Takes in what the log answered: places in the order of `wanted`, some at its end perhaps not
    /// looked at. What meanwhile is wanted no more is passed over; what the log does not have, or
    /// cannot read, is taken out.
    pub(in crate::queue) fn loaded(&mut self, wanted: &Wanted, fetched: Vec<Fetched>) -> Loaded {
        let mut loaded = Loaded::default();
        // When places were put away meanwhile, those that are missing may have been among them.
        let whole = wanted.epoch == self.epoch;
        let nothing = fetched.is_empty();
        let mut answers = fetched.into_iter().peekable();
        for seq in wanted.places() {
            if answers.peek().is_none() && !nothing {
                break;
            }
            match answers.next_if(|answer| answer.seq == seq) {
                Some(Fetched { message: Some((message, expires_at)), .. }) => {
                    self.arrive(seq, message, expires_at, &mut loaded);
                }
                _ if whole => loaded.progress |= self.take_out(seq),
                _ => {}
            }
        }
        self.shrink();
        loaded
    }

    fn arrive(&mut self, seq: Seq, message: Message, expires_at: Timestamp, loaded: &mut Loaded) {
        let index = self.level_index(message.priority);
        let level = &mut self.levels[index];
        if let Some(mut slot) = level.take_returned(seq) {
            self.count_out(&slot);
            slot.body = Body::Here(message);
            self.count_in(&slot);
            self.levels[index].put_back(slot);
            loaded.progress = true;
            return;
        }
        if !level.stored.take_first(seq) {
            return;
        }
        let (returns, redelivered) = self.away.leave(seq, message.body_len() as u64);
        let durable = self.durable && message.persistent;
        if !durable {
            SeqRange::push(&mut loaded.unspill, seq);
        }
        let level = index as u8;
        let body = Body::Here(message);
        let slot = Slot { seq, body, expires_at, returns, redelivered, durable, level };
        self.ready -= 1;
        self.count_in(&slot);
        // Perhaps only now is it known when it expires.
        self.note_late(&slot);
        let level = &mut self.levels[index];
        level.latest = level.latest.max(slot.expires_at);
        level.push_fresh(slot);
        self.levels[index].promote();
        loaded.progress = true;
    }

    /// Takes a place out of the queue for which there is no message.
    fn take_out(&mut self, seq: Seq) -> bool {
        for index in 0..self.levels.len() {
            let level = &mut self.levels[index];
            if let Some(slot) = level.take_returned(seq) {
                self.count_out(&slot);
            } else if level.stored.take_first(seq) {
                level.promote();
                self.ready -= 1;
                self.away.leave(seq, 0);
            } else {
                continue;
            }
            self.unreadable += 1;
            return true;
        }
        false
    }

    /// Adds a slot, which is counted already, behind stored ones or beyond the window.
    pub(super) fn push_behind(&mut self, slot: Slot, fits: bool, context: &Context<'_>) {
        let index = usize::from(slot.level);
        let stays = fits && self.away.count < CAUGHT_UP;
        if !stays && self.put_away(&slot, &mut true, context) {
            self.levels[index].stored.push(slot.seq);
        } else {
            self.levels[index].behind.insert(slot.seq, slot);
            self.levels[index].promote();
        }
    }

    /// Leaves a slot's message to the log; false if that cannot have it. `room` is whether there
    /// is, as far as known, room to spill.
    fn put_away(&mut self, slot: &Slot, room: &mut bool, context: &Context<'_>) -> bool {
        let Body::Here(message) = &slot.body else { return false };
        if !slot.durable {
            *room = *room && context.log.spill(self.id, slot.seq, message, slot.expires_at);
            if !*room {
                return false;
            }
            self.away.spilled = true;
        }
        self.count_out(slot);
        self.ready += 1;
        self.away.count += 1;
        self.away.bytes += message.body_len() as u64;
        if slot.was_out() {
            self.away.marks.insert(slot.seq, (slot.returns, slot.redelivered));
        }
        true
    }

    /// Leaves all but about `keep_bytes` of the ready messages, and what is out, to the log. The
    /// head of each level stays, so that its expiry is known. False if there is nothing to do.
    pub(in crate::queue) fn page_out(&mut self, keep_bytes: u64, context: &Context<'_>) -> bool {
        if self.resident + self.out_resident <= keep_bytes {
            return false;
        }
        self.epoch += 1;
        // What was in memory may not be any more.
        self.look_ahead_anew();
        let (mut keep, mut room) = (keep_bytes, true);
        for index in (0..self.levels.len()).rev() {
            let mut level = std::mem::take(&mut self.levels[index]);
            self.page_out_level(&mut level, &mut keep, &mut room, context);
            self.levels[index] = level;
        }
        for out in self.unacked.values_mut().filter(|out| out.slot.durable) {
            self.out_resident -= out.slot.drop_body();
        }
        for slot in self.resting.slots_mut().filter(|slot| slot.durable) {
            self.out_resident -= slot.drop_body();
        }
        true
    }

    fn page_out_level(
        &mut self,
        level: &mut Level,
        keep: &mut u64,
        room: &mut bool,
        context: &Context<'_>,
    ) {
        for slot in level.returned.values_mut().filter(|slot| slot.is_here()) {
            if *keep == 0 && slot.durable {
                self.resident -= slot.drop_body();
            } else {
                *keep = keep.saturating_sub(slot.size() as u64);
            }
        }
        level.compact();
        let least = usize::from(level.returned.is_empty());
        let mut stay = 0;
        while let Some(slot) = level.fresh.get(stay)
            && (*keep > 0 || stay < least)
        {
            *keep = keep.saturating_sub(slot.size() as u64);
            stay += 1;
        }
        let tail = level.fresh.split_off(stay);
        level.fresh.shrink_to(64);
        level.fresh_bytes -= tail.iter().map(|slot| slot.size() as u64).sum::<u64>();
        let behind = std::mem::take(&mut level.behind).into_values();
        let mut ranges: Vec<SeqRange> = std::mem::take(&mut level.stored).ranges().collect();
        for slot in tail.into_iter().chain(behind) {
            if self.put_away(&slot, room, context) {
                SeqRange::push(&mut ranges, slot.seq);
            } else {
                level.behind.insert(slot.seq, slot);
            }
        }
        normalise(&mut ranges);
        level.stored = Places::new(ranges);
        level.promote();
    }

    /// Takes all ready messages, for a purge: slots, and places that no slot stands for.
    pub(in crate::queue) fn take_ready(&mut self) -> (Vec<Slot>, Vec<SeqRange>) {
        let (mut slots, mut ranges) = (Vec::new(), Vec::new());
        for level in &mut self.levels {
            let mut taken = std::mem::take(level);
            // What is out may come back in front of what is to come.
            level.latest = taken.latest;
            taken.compact();
            slots.extend(taken.returned.into_values());
            slots.extend(taken.fresh);
            slots.extend(taken.behind.into_values());
            ranges.extend(taken.stored.ranges());
        }
        for slot in &slots {
            self.count_out(slot);
        }
        normalise(&mut ranges);
        self.ready = 0;
        let redelivered_through = self.away.redelivered_through;
        self.away = Away { redelivered_through, ..Away::default() };
        self.late.clear();
        self.epoch += 1;
        (slots, ranges)
    }
}
