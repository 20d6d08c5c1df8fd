//! Reading a message's headers table.

use leveret_wire::amqp091::properties::{BasicProperties, Essentials, Properties};
use leveret_wire::amqp091::table::{Table, Value};

use super::Message;

/// A view of a headers table for routing.
#[derive(Debug, Clone, Copy)]
pub struct HeaderTable<'a> {
    table: Table<'a>,
}

impl<'a> HeaderTable<'a> {
    pub(super) fn new(table: Table<'a>) -> Self {
        Self { table }
    }

    /// The value of the header `name`.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.table.get(name)
    }
}

impl Message {
    /// The headers table, if the message has one.
    pub fn headers(&self) -> Option<HeaderTable<'_>> {
        Essentials::parse(self.properties()).ok()?.headers.map(HeaderTable::new)
    }

    /// All properties with their values.
    pub fn basic_properties(&self) -> BasicProperties {
        self.parsed().map(|parsed| BasicProperties::from(&parsed)).unwrap_or_default()
    }

    /// All properties; they were checked when the message was built.
    pub(crate) fn parsed(&self) -> Option<Properties<'_>> {
        Properties::parse(self.properties()).ok()
    }
}
