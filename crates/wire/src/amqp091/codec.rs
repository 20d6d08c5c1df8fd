//! Cursors over payload bytes and the field types of methods and properties.
//!
//! A [`Reader`] packs and unpacks consecutive bits as the specification wants (4.2.5.2): the first
//! bit of a run takes a new octet, any other field ends the run.

use super::error::DecodeError;
use super::table::{Table, TableError};

/// Why a field could not be read; becomes a [`DecodeError`] with the method's ids.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    Short,
    Utf8,
    Table(TableError),
}

impl Fault {
    pub(super) fn at(self, class_id: u16, method_id: u16) -> DecodeError {
        match self {
            Fault::Short => DecodeError::Malformed { class_id, method_id },
            Fault::Utf8 => DecodeError::InvalidUtf8 { class_id, method_id },
            Fault::Table(source) => DecodeError::MalformedTable { class_id, method_id, source },
        }
    }
}

/// Reads fields from the front of a payload.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    bits: u8,
    mask: u8,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(rest: &'a [u8]) -> Reader<'a> {
        Reader { rest, bits: 0, mask: 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(super) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Fault::Short)?;
        self.rest = rest;
        self.mask = 0;
        Ok(*head)
    }

    #[inline]
    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Fault::Short)?;
        self.rest = rest;
        self.mask = 0;
        Ok(head)
    }

    #[inline]
    fn bit(&mut self) -> Result<bool, Fault> {
        if self.mask == 0 {
            let [octet] = self.fixed()?;
            self.bits = octet;
            self.mask = 1;
        }
        let set = self.bits & self.mask != 0;
        self.mask <<= 1;
        Ok(set)
    }
}

/// Appends fields to a payload.
#[derive(Debug)]
pub(super) struct Writer<'o> {
    pub(super) out: &'o mut Vec<u8>,
    mask: u8,
}

impl<'o> Writer<'o> {
    pub(super) const fn new(out: &'o mut Vec<u8>) -> Writer<'o> {
        Writer { out, mask: 0 }
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.mask = 0;
    }

    #[inline]
    fn bit(&mut self, set: bool) {
        if self.mask == 0 {
            self.out.push(0);
            self.mask = 1;
        }
        if let Some(octet) = self.out.last_mut()
            && set
        {
            *octet |= self.mask;
        }
        self.mask <<= 1;
    }
}

/// A value that can be a field of a method or a property.
pub(super) trait Field<'a>: Sized {
    fn get(reader: &mut Reader<'a>) -> Result<Self, Fault>;
    fn put(&self, writer: &mut Writer<'_>);
}

macro_rules! integer_fields {
    ($($int:ty),*) => {$(
        impl<'a> Field<'a> for $int {
            #[inline]
            fn get(reader: &mut Reader<'a>) -> Result<$int, Fault> {
                Ok(<$int>::from_be_bytes(reader.fixed()?))
            }
            #[inline]
            fn put(&self, writer: &mut Writer<'_>) {
                writer.put(&self.to_be_bytes());
            }
        }
    )*};
}
integer_fields!(u8, u16, u32, u64);

/// A bit.
impl<'a> Field<'a> for bool {
    #[inline]
    fn get(reader: &mut Reader<'a>) -> Result<bool, Fault> {
        reader.bit()
    }
    #[inline]
    fn put(&self, writer: &mut Writer<'_>) {
        writer.bit(*self);
    }
}

/// A short string; longer than 255 bytes it is cut at a character.
impl<'a> Field<'a> for &'a str {
    #[inline]
    fn get(reader: &mut Reader<'a>) -> Result<&'a str, Fault> {
        let [len] = reader.fixed()?;
        str::from_utf8(reader.bytes(usize::from(len))?).map_err(|_| Fault::Utf8)
    }
    #[inline]
    fn put(&self, writer: &mut Writer<'_>) {
        put_short_str(writer.out, self);
        writer.mask = 0;
    }
}

/// A long string.
impl<'a> Field<'a> for &'a [u8] {
    #[inline]
    fn get(reader: &mut Reader<'a>) -> Result<&'a [u8], Fault> {
        let len = u32::get(reader)?;
        reader.bytes(len as usize)
    }
    fn put(&self, writer: &mut Writer<'_>) {
        put_long_bytes(writer.out, self);
        writer.mask = 0;
    }
}

impl<'a> Field<'a> for Table<'a> {
    #[inline]
    fn get(reader: &mut Reader<'a>) -> Result<Table<'a>, Fault> {
        Table::parse(<&[u8] as Field>::get(reader)?).map_err(Fault::Table)
    }
    fn put(&self, writer: &mut Writer<'_>) {
        self.as_bytes().put(writer);
    }
}

/// The longest prefix of `text` that fits a short string and ends at a character.
#[inline]
pub(super) fn short_str(text: &str) -> &[u8] {
    if text.len() <= 255 {
        return text.as_bytes();
    }
    let mut end = 255;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.as_bytes().get(..end).unwrap_or_default()
}

#[inline]
pub(super) fn put_short_str(out: &mut Vec<u8>, text: &str) {
    let bytes = short_str(text);
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

/// Writes a long string; what does not fit 32 bits of length is cut.
pub(super) fn put_long_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes.get(..len as usize).unwrap_or_default());
}

/// Runs `body`, then writes the length of what it appended into four octets before it.
pub(super) fn with_length(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let len = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    if let Some(prefix) = out.get_mut(at..at + 4) {
        prefix.copy_from_slice(&len.to_be_bytes());
    }
}
