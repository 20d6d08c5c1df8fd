//! The alarms of resources: which of them are on, and what a client is told of them.

use std::sync::atomic::{AtomicU8, Ordering};

/// What there is too little of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alarm {
    Memory = 1,
    Disk = 2,
}

/// A set of alarms; publishers are held up while any is on.
#[derive(Debug, Default)]
pub(crate) struct Alarms(AtomicU8);

impl Alarms {
    /// Sets or clears one; false when it was so already.
    pub(crate) fn set(&self, alarm: Alarm, on: bool) -> bool {
        let bit = alarm as u8;
        let before = match on {
            true => self.0.fetch_or(bit, Ordering::AcqRel),
            false => self.0.fetch_and(!bit, Ordering::AcqRel),
        };
        (before & bit != 0) != on
    }

    /// Whether this one is on.
    pub(crate) fn is_on(&self, alarm: Alarm) -> bool {
        self.0.load(Ordering::Acquire) & alarm as u8 != 0
    }

    /// Whether any is on.
    pub(crate) fn any(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }

    /// The reason in `connection.blocked`, as RabbitMQ words it; none when no alarm is on.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        match (self.is_on(Alarm::Memory), self.is_on(Alarm::Disk)) {
            (true, false) => Some("low on memory"),
            (false, true) => Some("low on disk"),
            (true, true) => Some("low on memory & disk"),
            (false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_names_all_that_are_on() {
        let alarms = Alarms::default();
        assert_eq!((alarms.any(), alarms.reason()), (false, None));
        assert!(alarms.set(Alarm::Disk, true));
        assert!(!alarms.set(Alarm::Disk, true), "it was on");
        assert_eq!(alarms.reason(), Some("low on disk"));
        assert!(alarms.set(Alarm::Memory, true));
        assert_eq!(alarms.reason(), Some("low on memory & disk"));
        assert!(alarms.set(Alarm::Disk, false));
        assert_eq!((alarms.any(), alarms.reason()), (true, Some("low on memory")));
        assert!(!alarms.set(Alarm::Disk, false), "it was off");
    }
}
