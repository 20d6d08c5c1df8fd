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

/// What is to be said of properties with more headers, or deeper ones, than are allowed; none if
/// they are fine. What cannot be decoded is left to who decodes it.
pub fn excess_headers(
    properties: &[u8],
    count_max: Option<usize>,
    depth_max: usize,
) -> Option<String> {
    let headers = Essentials::parse(properties).ok()?.headers?;
    let (count, depth) = headers.extent();
    match count_max.filter(|most| count > *most) {
        Some(most) => Some(format!("message has {count} headers, more than the configured {most}")),
        None if depth > depth_max => Some(format!(
            "message has headers nested {depth} deep, more than the configured {depth_max}"
        )),
        None => None,
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
