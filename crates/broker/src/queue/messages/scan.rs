//! Reading through what a restart left in the log, to learn when it expires.
//!
//! The log tells a queue which places there are, and not when they expire: that is known once they
//! are read. A queue that must keep every time (a schedule) asks for a scan; others look at their
//! heads.

use super::Messages;
use super::late::Place;
use crate::ids::Seq;
use crate::log::{Fetched, SeqRange};

/// Most places that are asked for at once.
const PLACES_MAX: u64 = 4096;

/// Where a scan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queue) struct Scan {
    level: usize,
    next: Seq,
}

impl Messages {
    /// Begins a scan of all places that no slot stands for.
    pub(in crate::queue) fn start_scan(&mut self) {
        self.scan = Some(Scan { level: 0, next: Seq(0) });
    }

    /// Whether a scan is under way.
    pub(in crate::queue) fn is_scanning(&self) -> bool {
        self.scan.is_some()
    }

    /// What to read next for the scan; none at its end.
    pub(in crate::queue) fn scan_next(&mut self) -> Option<(Scan, Vec<SeqRange>)> {
        let mut scan = self.scan?;
        while let Some(level) = self.levels.get(scan.level) {
            let (mut left, mut ranges) = (PLACES_MAX, Vec::new());
            for mut range in level.stored.ranges_from(scan.next) {
                range.last = range.last.min(Seq(range.first.0.saturating_add(left - 1)));
                left -= range.count();
                ranges.push(range);
                if left == 0 {
                    break;
                }
            }
            if !ranges.is_empty() {
                return Some((scan, ranges));
            }
            scan = Scan { level: scan.level + 1, next: Seq(0) };
        }
        self.scan = None;
        None
    }

    /// Takes in what the log answered to `ranges`; what it did not look at is asked for again.
    pub(in crate::queue) fn scanned(&mut self, scan: Scan, ranges: &[SeqRange], found: &[Fetched]) {
        if self.scan.is_none_or(|now| now.level > scan.level) {
            return;
        }
        let Some(level) = self.levels.get(scan.level) else { return };
        let latest = self.latest(scan.level);
        for Fetched { seq, message } in found {
            let Some((message, expires_at)) = message else { continue };
            let (seq, expires_at, body_len) = (*seq, *expires_at, message.body_len() as u64);
            // Only then may it expire before another in front of it.
            if expires_at < latest && level.stored.contains(seq) {
                self.late.insert(Place { seq, expires_at, body_len });
            }
        }
        let last = found.last().map(|one| one.seq);
        let last = last.or(ranges.last().map(|range| range.last)).unwrap_or(scan.next);
        self.scan = Some(Scan { level: scan.level, next: Seq(last.0.saturating_add(1)) });
    }
}
