//! The fourteen properties of class `basic`, declared once: a borrowed view of the bytes in a
//! content header and an owned form to build them from.
//!
//! The broker passes property bytes on as they came; it parses them only where it must look.

use super::codec::{Fault, Field, Reader, Writer, put_short_str};
use super::constants::CLASS_BASIC;
pub use super::error::DecodeError;
use super::table::{FieldTable, Table};

/// An owned property that can be written.
trait Put {
    fn put(&self, out: &mut Vec<u8>);
}

impl Put for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_short_str(out, self);
    }
}

impl Put for FieldTable {
    fn put(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }
}

impl Put for u8 {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }
}

impl Put for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }
}

macro_rules! properties {
    ($lt:lifetime; $($(#[$doc:meta])* $field:ident $bit:literal $kind:ty => $owned:ty;)*) => {
        /// The properties of a message, borrowed from its content header.
        #[derive(Debug, Clone, Copy, PartialEq, Default)]
        pub struct Properties<$lt> { $($(#[$doc])* pub $field: Option<$kind>,)* }

        /// The properties of a message, owned.
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct BasicProperties { $($(#[$doc])* pub $field: Option<$owned>,)* }

        impl<$lt> Properties<$lt> {
            fn read(flags: u16, reader: &mut Reader<$lt>) -> Result<Self, Fault> {
                Ok(Properties { $($field: if flags & (1 << $bit) != 0 {
                    Some(<$kind as Field<$lt>>::get(reader)?)
                } else {
                    None
                },)* })
            }

            /// Appends flags and property list, as they follow the body size in a header frame.
            pub fn encode(&self, out: &mut Vec<u8>) {
                let mut writer = Writer::new(out);
                let flags: u16 = 0 $(| (u16::from(self.$field.is_some()) << $bit))*;
                flags.put(&mut writer);
                $(if let Some(value) = &self.$field { Field::put(value, &mut writer); })*
            }
        }

        impl BasicProperties {
            /// Appends flags and property list, as they follow the body size in a header frame.
            pub fn encode(&self, out: &mut Vec<u8>) {
                let flags: u16 = 0 $(| (u16::from(self.$field.is_some()) << $bit))*;
                out.extend_from_slice(&flags.to_be_bytes());
                $(if let Some(value) = &self.$field { Put::put(value, out); })*
            }
        }

        impl From<&Properties<'_>> for BasicProperties {
            fn from(view: &Properties<'_>) -> BasicProperties {
                BasicProperties { $($field: view.$field.map(|value| value.to_owned()),)* }
            }
        }

        /// The flag bits that stand for a property.
        const KNOWN_FLAGS: u16 = 0 $(| (1 << $bit))*;
    };
}

properties! { 'a;
    /// MIME type of the body.
    content_type 15 &'a str => String;
    /// MIME encoding of the body.
    content_encoding 14 &'a str => String;
    /// Headers: for the headers exchange, `CC`, `x-death` and the application.
    headers 13 Table<'a> => FieldTable;
    /// 1 transient, 2 persistent.
    delivery_mode 12 u8 => u8;
    /// 0 to 255.
    priority 11 u8 => u8;
    /// Which request a reply belongs to.
    correlation_id 10 &'a str => String;
    /// Where to send the reply.
    reply_to 9 &'a str => String;
    /// Time to live in milliseconds, as decimal text.
    expiration 8 &'a str => String;
    /// The application's id of the message.
    message_id 7 &'a str => String;
    /// Seconds since 1970.
    timestamp 6 u64 => u64;
    /// The application's type of the message.
    r#type 5 &'a str => String;
    /// The publishing user; RabbitMQ checks it.
    user_id 4 &'a str => String;
    /// The publishing application.
    app_id 3 &'a str => String;
    /// Deprecated, passed on.
    cluster_id 2 &'a str => String;
}

/// Set in a flag word that another one follows (4.2.6.1).
const CONTINUATION: u16 = 1;

impl<'a> Properties<'a> {
    /// Parses flags and property list. Continuation words are read, but a property that they or
    /// bit 1 announce is unknown and hence malformed, as are bytes after the last property.
    pub fn parse(raw: &'a [u8]) -> Result<Properties<'a>, DecodeError> {
        Self::parse_fields(raw).map_err(|fault| fault.at(CLASS_BASIC, 0))
    }

    fn parse_fields(raw: &'a [u8]) -> Result<Properties<'a>, Fault> {
        let mut reader = Reader::new(raw);
        let flags = u16::get(&mut reader)?;
        let mut unknown = flags & !(KNOWN_FLAGS | CONTINUATION);
        let mut word = flags;
        while word & CONTINUATION != 0 {
            word = u16::get(&mut reader)?;
            unknown |= word & !CONTINUATION;
        }
        let properties = Properties::read(flags, &mut reader)?;
        if unknown == 0 && reader.is_empty() { Ok(properties) } else { Err(Fault::Short) }
    }
}

/// The first flag word, without looking at the properties; none if there is not even that.
pub fn peek_flags(raw: &[u8]) -> Option<u16> {
    raw.first_chunk().map(|word| u16::from_be_bytes(*word))
}
