//! The last lines of the log, for who looks at them from afar.
//!
//! Invariant: at most [`LINES_MAX`] lines are kept, each cut at [`TEXT_MAX`] bytes a text. No
//! secret is ever logged, so none is here.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use leveret_management::node::LogLine;

const LINES_MAX: usize = 5_000;
const TEXT_MAX: usize = 2_048;
/// From the gravest on.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// The ring.
#[derive(Debug, Default)]
pub struct LogRing(Mutex<(u64, VecDeque<LogLine>)>);

fn cut(text: &mut String) {
    if text.len() > TEXT_MAX {
        let at = (0..=TEXT_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(at);
    }
}

impl LogRing {
    /// Adds a line; its id is given here.
    pub fn push(&self, mut line: LogLine) {
        cut(&mut line.message);
        for (_, value) in &mut line.fields {
            if let serde_json::Value::String(text) = value {
                cut(text);
            }
        }
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.0 += 1;
        line.id = ring.0;
        if ring.1.len() >= LINES_MAX {
            ring.1.pop_front();
        }
        ring.1.push_back(line);
    }

    /// The first lines behind `after` of at least a level, at most `max`, and the newest id. With
    /// `after` 0, the last ones.
    pub fn lines(&self, after: u64, level: &str, max: usize) -> (Vec<LogLine>, u64) {
        let rank = |level: &str| LEVELS.iter().position(|one| *one == level).unwrap_or(2);
        let most = rank(level);
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = |line: &&LogLine| rank(line.level) <= most;
        let lines: Vec<LogLine> = if after == 0 {
            let mut last: Vec<_> = ring.1.iter().rev().filter(wanted).take(max).cloned().collect();
            last.reverse();
            last
        } else {
            let from = ring.1.partition_point(|line| line.id <= after);
            ring.1.range(from..).filter(wanted).take(max).cloned().collect()
        };
        let last = match lines.last() {
            Some(line) if lines.len() == max => line.id,
            _ => ring.0,
        };
        (lines, last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(level: &'static str, message: &str) -> LogLine {
        let (target, message) = ("t".to_owned(), message.to_owned());
        LogLine { id: 0, time_ms: 1, level, target, message, fields: Vec::new() }
    }

    #[test]
    fn the_last_lines_are_kept_and_found_by_level() {
        let ring = LogRing::default();
        for number in 0..LINES_MAX + 10 {
            let level = if number % 2 == 0 { "info" } else { "warn" };
            ring.push(line(level, &number.to_string()));
        }
        let (lines, last) = ring.lines(0, "warn", 2);
        let messages: Vec<&str> = lines.iter().map(|one| one.message.as_str()).collect();
        assert_eq!(messages, ["5007", "5009"]);
        assert_eq!(last, 5_010);
        assert!(ring.lines(last, "trace", 9).0.is_empty());
        assert_eq!(ring.lines(1, "trace", 99_999).0.len(), LINES_MAX);
        let (some, next) = ring.lines(100, "info", 3);
        assert_eq!((some.len(), some.last().map(|one| one.id)), (3, Some(next)));
        ring.push(line("info", &"\u{1f407}".repeat(1_000)));
        let (lines, _) = ring.lines(last, "info", 1);
        assert!(lines[0].message.len() <= TEXT_MAX);
    }
}
