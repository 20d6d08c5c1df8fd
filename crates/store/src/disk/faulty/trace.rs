//! The last operations, for whoever looks for the cause of a failure. They become text only when
//! somebody asks.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::plan::Kind;

/// How many operations are remembered.
const LINES_MAX: usize = 1_000;

/// What an operation is about.
pub struct Call {
    pub kind: Kind,
    /// The file or directory.
    pub name: Arc<str>,
    /// The second name of a rename.
    pub to: Option<Arc<str>>,
    /// In bytes, where it makes sense.
    pub offset: u64,
    /// In bytes, where it makes sense.
    pub len: u64,
}

impl Call {
    /// An operation on a name.
    pub fn on(kind: Kind, name: &str) -> Self {
        Call { kind, name: name.into(), to: None, offset: 0, len: 0 }
    }

    /// An operation on a part of a file.
    pub fn part(kind: Kind, name: &Arc<str>, offset: u64, len: u64) -> Self {
        Call { kind, name: Arc::clone(name), to: None, offset, len }
    }
}

enum Line {
    /// What was done, and the error if it failed.
    Call(u64, Call, Option<String>),
    /// What was done to the disk from outside.
    Note(String),
}

/// The last operations.
#[derive(Default)]
pub struct Trace {
    lines: VecDeque<Line>,
}

impl Trace {
    /// Remembers the operation with that number.
    pub fn call<T>(&mut self, number: u64, call: Call, result: &io::Result<T>) {
        self.push(Line::Call(number, call, result.as_ref().err().map(io::Error::to_string)));
    }

    /// Remembers what was done from outside.
    pub fn note(&mut self, text: String) {
        self.push(Line::Note(text));
    }

    fn push(&mut self, line: Line) {
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// A line for each operation, oldest first.
    pub fn text(&self) -> String {
        self.lines.iter().map(|line| line.text() + "\n").collect()
    }
}

impl Line {
    fn text(&self) -> String {
        let (number, call, error) = match self {
            Line::Call(number, call, error) => (number, call, error),
            Line::Note(text) => return format!("-- {text}"),
        };
        let Call { kind, name, to, offset, len } = call;
        let to = to.as_ref().map(|to| format!(" to `{to}`")).unwrap_or_default();
        let part = match kind {
            Kind::Read | Kind::Write | Kind::Punch => format!(" {len} bytes at {offset}"),
            Kind::Allocate => format!(" {len} bytes"),
            _ => String::new(),
        };
        let error = error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        format!("{number} {kind:?} `{name}`{to}{part}{error}")
    }
}
