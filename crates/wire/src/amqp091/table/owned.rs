//! Tables that own their fields: built by us, kept in definitions, written to the log.

use super::super::codec::{put_long_bytes, put_short_str, with_length};
use super::DEPTH_MAX;

/// An owned field table: keys and values in order.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct FieldTable(pub Vec<(String, FieldValue)>);

impl FieldTable {
    /// A table without fields.
    pub const fn new() -> FieldTable {
        FieldTable(Vec::new())
    }

    /// The first field of that name.
    #[inline]
    pub fn get(&self, name: &str) -> Option<&FieldValue> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Sets a field: in place if the name is there, else at the end. Returns the former value.
    pub fn insert(
        &mut self,
        name: impl Into<String>,
        value: impl Into<FieldValue>,
    ) -> Option<FieldValue> {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(key, _)| *key == name) {
            Some((_, slot)) => Some(std::mem::replace(slot, value)),
            None => {
                self.0.push((name, value));
                None
            }
        }
    }

    /// The fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &FieldValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Number of fields.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no field.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends the table with its four-octet length. Names of more than 255 bytes are cut at a
    /// character; what is nested deeper than [`DEPTH_MAX`] is written as void.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode_table(self, out, 1);
    }

    /// Appends the fields without the length, as SASL's AMQPLAIN and [`super::Table::parse`] have
    /// them.
    pub fn encode_content(&self, out: &mut Vec<u8>) {
        encode_fields(self, out, 1);
    }

    /// The fields without the length, to be viewed with [`super::Table::parse`].
    pub fn to_content(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_content(&mut out);
        out
    }
}

impl<K: Into<String>, V: Into<FieldValue>> FromIterator<(K, V)> for FieldTable {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(fields: I) -> FieldTable {
        FieldTable(fields.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

/// An owned field value; the variants are those of [`super::Value`].
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum FieldValue {
    /// `t`.
    Bool(bool),
    /// `b`.
    I8(i8),
    /// `B`.
    U8(u8),
    /// `s`.
    I16(i16),
    /// `u`.
    U16(u16),
    /// `I`.
    I32(i32),
    /// `i`.
    U32(u32),
    /// `l`.
    I64(i64),
    /// `f`.
    F32(f32),
    /// `d`.
    F64(f64),
    /// `D`.
    Decimal {
        /// Digits after the point.
        scale: u8,
        /// The digits.
        value: u32,
    },
    /// `S`: any bytes, mostly UTF-8.
    LongStr(Vec<u8>),
    /// `A`.
    Array(Vec<FieldValue>),
    /// `T`: seconds since 1970.
    Timestamp(u64),
    /// `F`.
    Table(FieldTable),
    /// `V`.
    Void,
    /// `x`.
    Bytes(Vec<u8>),
}

impl FieldValue {
    /// RabbitMQ's name of the type, as in its error texts.
    pub const fn type_name(&self) -> &'static str {
        match self {
            FieldValue::Bool(_) => "bool",
            FieldValue::I8(_) => "byte",
            FieldValue::U8(_) => "unsignedbyte",
            FieldValue::I16(_) => "short",
            FieldValue::U16(_) => "unsignedshort",
            FieldValue::I32(_) => "signedint",
            FieldValue::U32(_) => "unsignedint",
            FieldValue::I64(_) => "long",
            FieldValue::F32(_) => "float",
            FieldValue::F64(_) => "double",
            FieldValue::Decimal { .. } => "decimal",
            FieldValue::LongStr(_) => "longstr",
            FieldValue::Array(_) => "array",
            FieldValue::Timestamp(_) => "timestamp",
            FieldValue::Table(_) => "table",
            FieldValue::Void => "void",
            FieldValue::Bytes(_) => "binary",
        }
    }

    /// The number, for every integer width; none for a timestamp or any other type.
    pub const fn as_integer(&self) -> Option<i64> {
        match *self {
            FieldValue::I8(v) => Some(v as i64),
            FieldValue::U8(v) => Some(v as i64),
            FieldValue::I16(v) => Some(v as i64),
            FieldValue::U16(v) => Some(v as i64),
            FieldValue::I32(v) => Some(v as i64),
            FieldValue::U32(v) => Some(v as i64),
            FieldValue::I64(v) => Some(v),
            _ => None,
        }
    }

    /// The bytes of a long string.
    pub fn as_str_bytes(&self) -> Option<&[u8]> {
        match self {
            FieldValue::LongStr(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text of a long string that is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        self.as_str_bytes().and_then(|bytes| str::from_utf8(bytes).ok())
    }

    /// The truth value of a bool.
    pub const fn as_bool(&self) -> Option<bool> {
        match *self {
            FieldValue::Bool(v) => Some(v),
            _ => None,
        }
    }
}

macro_rules! field_value_from {
    ($($kind:ty => $variant:ident),*) => {$(
        impl From<$kind> for FieldValue {
            fn from(value: $kind) -> FieldValue {
                FieldValue::$variant(value)
            }
        }
    )*};
}
field_value_from!(bool => Bool, i8 => I8, u8 => U8, i16 => I16, u16 => U16, i32 => I32,
    u32 => U32, i64 => I64, f32 => F32, f64 => F64, FieldTable => Table,
    Vec<FieldValue> => Array);

impl From<&str> for FieldValue {
    fn from(text: &str) -> FieldValue {
        FieldValue::LongStr(text.as_bytes().to_vec())
    }
}

impl From<String> for FieldValue {
    fn from(text: String) -> FieldValue {
        FieldValue::LongStr(text.into_bytes())
    }
}

fn encode_table(table: &FieldTable, out: &mut Vec<u8>, depth: usize) {
    with_length(out, |out| encode_fields(table, out, depth));
}

fn encode_fields(table: &FieldTable, out: &mut Vec<u8>, depth: usize) {
    for (key, value) in &table.0 {
        put_short_str(out, key);
        encode_value(value, out, depth);
    }
}

fn encode_value(value: &FieldValue, out: &mut Vec<u8>, depth: usize) {
    match value {
        FieldValue::Bool(v) => out.extend_from_slice(&[b't', u8::from(*v)]),
        FieldValue::I8(v) => put(out, b'b', v.to_be_bytes()),
        FieldValue::U8(v) => put(out, b'B', v.to_be_bytes()),
        FieldValue::I16(v) => put(out, b's', v.to_be_bytes()),
        FieldValue::U16(v) => put(out, b'u', v.to_be_bytes()),
        FieldValue::I32(v) => put(out, b'I', v.to_be_bytes()),
        FieldValue::U32(v) => put(out, b'i', v.to_be_bytes()),
        FieldValue::I64(v) => put(out, b'l', v.to_be_bytes()),
        FieldValue::F32(v) => put(out, b'f', v.to_be_bytes()),
        FieldValue::F64(v) => put(out, b'd', v.to_be_bytes()),
        FieldValue::Timestamp(v) => put(out, b'T', v.to_be_bytes()),
        FieldValue::Decimal { scale, value } => {
            out.extend_from_slice(&[b'D', *scale]);
            out.extend_from_slice(&value.to_be_bytes());
        }
        FieldValue::LongStr(v) => put_bytes(out, b'S', v),
        FieldValue::Bytes(v) => put_bytes(out, b'x', v),
        FieldValue::Void => out.push(b'V'),
        FieldValue::Array(_) | FieldValue::Table(_) if depth >= DEPTH_MAX => out.push(b'V'),
        FieldValue::Array(values) => {
            out.push(b'A');
            with_length(out, |out| {
                for value in values {
                    encode_value(value, out, depth + 1);
                }
            });
        }
        FieldValue::Table(table) => {
            out.push(b'F');
            encode_table(table, out, depth + 1);
        }
    }
}

fn put<const N: usize>(out: &mut Vec<u8>, kind: u8, bytes: [u8; N]) {
    out.push(kind);
    out.extend_from_slice(&bytes);
}

fn put_bytes(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    out.push(kind);
    put_long_bytes(out, bytes);
}
