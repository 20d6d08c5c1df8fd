//! The fourteen properties of class `basic`, declared once: a borrowed view of the bytes in a
//! content header and an owned form to build them from. [`Essentials`] is a shorter view, of those
//! at which a broker looks.
//!
//! The broker passes property bytes on as they came; it parses them only where it must look. Their
//! short strings are bytes: unlike those of methods, they need not be UTF-8, as in RabbitMQ.

use std::fmt;

use super::codec::{Fault, Field, Reader, Writer, short_str};
use super::constants::CLASS_BASIC;
pub use super::error::DecodeError;
use super::table::{FieldTable, Table};

/// A short string of the properties: up to 255 bytes, UTF-8 or not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ShortBytes<'a>(&'a [u8]);

impl<'a> ShortBytes<'a> {
    /// The bytes.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The text, if it is UTF-8.
    pub fn as_str(self) -> Option<&'a str> {
        str::from_utf8(self.0).ok()
    }

    /// A copy.
    pub fn to_owned(self) -> ShortString {
        ShortString(self.0.to_vec())
    }
}

/// Longer than 255 bytes it is cut at a character.
impl<'a> From<&'a str> for ShortBytes<'a> {
    fn from(text: &'a str) -> ShortBytes<'a> {
        ShortBytes(short_str(text))
    }
}

impl<'a> Field<'a> for ShortBytes<'a> {
    #[inline]
    fn get(reader: &mut Reader<'a>) -> Result<ShortBytes<'a>, Fault> {
        let len = u8::get(reader)?;
        reader.bytes(usize::from(len)).map(ShortBytes)
    }

    fn put(&self, writer: &mut Writer<'_>) {
        Field::put(&(self.0.len() as u8), writer);
        writer.out.extend_from_slice(self.0);
    }
}

/// A short string of the properties, owned.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct ShortString(Vec<u8>);

impl ShortString {
    /// Copies the bytes; none if there are more than 255.
    pub fn from_bytes(bytes: &[u8]) -> Option<ShortString> {
        (bytes.len() <= 255).then(|| ShortString(bytes.to_vec()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        str::from_utf8(&self.0).ok()
    }
}

/// Longer than 255 bytes it is cut at a character.
impl From<&str> for ShortString {
    fn from(text: &str) -> ShortString {
        ShortString(short_str(text).to_vec())
    }
}

/// Longer than 255 bytes it is cut at a character.
impl From<String> for ShortString {
    fn from(text: String) -> ShortString {
        let len = short_str(&text).len();
        let mut bytes = text.into_bytes();
        bytes.truncate(len);
        ShortString(bytes)
    }
}

macro_rules! compare_and_show {
    ($($kind:ty),*) => {$(
        impl PartialEq<str> for $kind {
            fn eq(&self, text: &str) -> bool {
                self.as_bytes() == text.as_bytes()
            }
        }

        impl PartialEq<&str> for $kind {
            fn eq(&self, text: &&str) -> bool {
                *self == **text
            }
        }

        /// As text; what is not UTF-8 is replaced.
        impl fmt::Debug for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&String::from_utf8_lossy(self.as_bytes()), f)
            }
        }
    )*};
}
compare_and_show!(ShortBytes<'_>, ShortString);

/// An owned property that can be written.
trait Put {
    fn put(&self, out: &mut Vec<u8>);
}

impl Put for ShortString {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(self.0.len() as u8);
        out.extend_from_slice(&self.0);
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
    };
}

properties! { 'a;
    /// MIME type of the body.
    content_type 15 ShortBytes<'a> => ShortString;
    /// MIME encoding of the body.
    content_encoding 14 ShortBytes<'a> => ShortString;
    /// Headers: for the headers exchange, `CC`, `x-death` and the application.
    headers 13 Table<'a> => FieldTable;
    /// 1 transient, 2 persistent.
    delivery_mode 12 u8 => u8;
    /// 0 to 255.
    priority 11 u8 => u8;
    /// Which request a reply belongs to.
    correlation_id 10 ShortBytes<'a> => ShortString;
    /// Where to send the reply.
    reply_to 9 ShortBytes<'a> => ShortString;
    /// Time to live in milliseconds, as decimal text.
    expiration 8 ShortBytes<'a> => ShortString;
    /// The application's id of the message.
    message_id 7 ShortBytes<'a> => ShortString;
    /// Seconds since 1970.
    timestamp 6 u64 => u64;
    /// The application's type of the message.
    r#type 5 ShortBytes<'a> => ShortString;
    /// The publishing user; RabbitMQ checks it.
    user_id 4 ShortBytes<'a> => ShortString;
    /// The publishing application.
    app_id 3 ShortBytes<'a> => ShortString;
    /// Deprecated, passed on.
    cluster_id 2 ShortBytes<'a> => ShortString;
}

/// Set in a flag word that another one follows (4.2.6.1).
const CONTINUATION: u16 = 1;
/// A bit of the flags that stands for no property, and is passed over.
const MEANINGLESS: u16 = 2;

impl<'a> Properties<'a> {
    /// Parses flags and property list. Bit 1 means nothing and is passed over, as in RabbitMQ.
    /// Continuation words are read, but a property that they announce is unknown and hence
    /// malformed, as are bytes after the last property.
    pub fn parse(raw: &'a [u8]) -> Result<Properties<'a>, DecodeError> {
        Self::parse_fields(raw).map_err(|fault| fault.at(CLASS_BASIC, 0))
    }

    fn parse_fields(raw: &'a [u8]) -> Result<Properties<'a>, Fault> {
        let mut reader = Reader::new(raw);
        let (flags, unknown) = read_flags(&mut reader)?;
        let properties = Properties::read(flags, &mut reader)?;
        if unknown == 0 && reader.is_empty() { Ok(properties) } else { Err(Fault::Short) }
    }
}

/// The flags of the properties, and those of properties that do not exist.
#[inline]
fn read_flags(reader: &mut Reader<'_>) -> Result<(u16, u16), Fault> {
    let flags = u16::get(reader)?;
    let (mut word, mut unknown) = (flags, 0);
    while word & CONTINUATION != 0 {
        word = u16::get(reader)?;
        unknown |= word & !CONTINUATION;
    }
    Ok((flags, unknown))
}

/// The properties that a broker acts on. The others are checked, and passed over.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Essentials<'a> {
    /// As [`Properties::headers`].
    pub headers: Option<Table<'a>>,
    /// As [`Properties::delivery_mode`].
    pub delivery_mode: Option<u8>,
    /// As [`Properties::priority`].
    pub priority: Option<u8>,
    /// As [`Properties::reply_to`].
    pub reply_to: Option<ShortBytes<'a>>,
    /// As [`Properties::expiration`].
    pub expiration: Option<ShortBytes<'a>>,
    /// As [`Properties::user_id`].
    pub user_id: Option<ShortBytes<'a>>,
}

impl<'a> Essentials<'a> {
    /// Parses what [`Properties::parse`] does, and refuses what it refuses.
    #[inline]
    pub fn parse(raw: &'a [u8]) -> Result<Essentials<'a>, DecodeError> {
        Self::parse_fields(raw).map_err(|fault| fault.at(CLASS_BASIC, 0))
    }

    /// One step for each property that is there, from the highest bit down, as they lie.
    #[inline]
    fn parse_fields(raw: &'a [u8]) -> Result<Essentials<'a>, Fault> {
        let mut reader = Reader::new(raw);
        let (flags, unknown) = read_flags(&mut reader)?;
        let mut found = Essentials::default();
        let mut left = flags & !(CONTINUATION | MEANINGLESS);
        while left != 0 {
            let bit = left.ilog2();
            left ^= 1 << bit;
            match bit {
                13 => found.headers = Some(Field::get(&mut reader)?),
                12 => found.delivery_mode = Some(u8::get(&mut reader)?),
                11 => found.priority = Some(u8::get(&mut reader)?),
                9 => found.reply_to = Some(ShortBytes::get(&mut reader)?),
                8 => found.expiration = Some(ShortBytes::get(&mut reader)?),
                6 => drop(u64::get(&mut reader)?),
                4 => found.user_id = Some(ShortBytes::get(&mut reader)?),
                _ => drop(ShortBytes::get(&mut reader)?),
            }
        }
        if unknown == 0 && reader.is_empty() { Ok(found) } else { Err(Fault::Short) }
    }
}

impl<'a> From<&Properties<'a>> for Essentials<'a> {
    fn from(all: &Properties<'a>) -> Essentials<'a> {
        Essentials {
            headers: all.headers,
            delivery_mode: all.delivery_mode,
            priority: all.priority,
            reply_to: all.reply_to,
            expiration: all.expiration,
            user_id: all.user_id,
        }
    }
}

/// The first flag word, without looking at the properties; none if there is not even that.
pub fn peek_flags(raw: &[u8]) -> Option<u16> {
    raw.first_chunk().map(|word| u16::from_be_bytes(*word))
}
