//! Tables and arrays as they lie in a frame: checked once, read in place.
//!
//! Invariant: a [`Table`] or [`Array`] only exists over bytes whose structure, down to the
//! innermost value, has been checked, so that iterating cannot fail and needs no depth counter.

use std::fmt;

use super::{DEPTH_MAX, FieldTable, FieldValue};

/// What is wrong with the bytes of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// A key or value reaches beyond the table's end.
    #[error("truncated field")]
    Truncated,
    /// No such field type.
    #[error("unknown field type {0}")]
    UnknownType(u8),
    /// Nested deeper than [`DEPTH_MAX`].
    #[error("nested too deep")]
    TooDeep,
}

/// A field table: the bytes after its length prefix, known to be well formed.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Table<'a>(&'a [u8]);

impl<'a> Table<'a> {
    /// The table without fields.
    pub const EMPTY: Table<'static> = Table(&[]);

    /// Checks `bytes` (without length prefix) to be a table.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Table<'a>, TableError> {
        check_table(bytes, 1)?;
        Ok(Table(bytes))
    }

    /// The bytes after the length prefix.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether the table has no field.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The fields in order of appearance; a key may come more than once.
    pub const fn iter(self) -> TableIter<'a> {
        TableIter(self.0)
    }

    /// The first field of that name.
    #[inline]
    pub fn get(self, name: &str) -> Option<Value<'a>> {
        self.iter().find(|(key, _)| *key == name.as_bytes()).map(|(_, value)| value)
    }

    /// How many values it has, with those of tables and arrays in it, and how deep they nest: 1
    /// without such.
    pub fn extent(self) -> (usize, usize) {
        extent(self.iter().map(|(_, value)| value))
    }

    /// A copy that owns its fields; a key that is not UTF-8 is converted lossily.
    pub fn to_owned(self) -> FieldTable {
        FieldTable(
            self.iter()
                .map(|(key, value)| (String::from_utf8_lossy(key).into_owned(), value.to_owned()))
                .collect(),
        )
    }
}

impl<'a> IntoIterator for Table<'a> {
    type Item = (&'a [u8], Value<'a>);
    type IntoIter = TableIter<'a>;

    fn into_iter(self) -> TableIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(key, value)| (String::from_utf8_lossy(key), value)))
            .finish()
    }
}

/// Iterator over a [`Table`]'s keys and values.
#[derive(Debug, Clone)]
pub struct TableIter<'a>(&'a [u8]);

impl<'a> Iterator for TableIter<'a> {
    type Item = (&'a [u8], Value<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        take_field(&mut self.0).ok()
    }
}

/// A field array: the bytes after its length prefix, known to be well formed.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Array<'a>(&'a [u8]);

impl<'a> Array<'a> {
    /// The bytes after the length prefix.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The values in order.
    pub const fn iter(self) -> ArrayIter<'a> {
        ArrayIter(self.0)
    }
}

impl<'a> IntoIterator for Array<'a> {
    type Item = Value<'a>;
    type IntoIter = ArrayIter<'a>;

    fn into_iter(self) -> ArrayIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Iterator over an [`Array`]'s values.
#[derive(Debug, Clone)]
pub struct ArrayIter<'a>(&'a [u8]);

impl<'a> Iterator for ArrayIter<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        take_value(&mut self.0).ok()
    }
}

/// A field's value, borrowed; the letter on the wire is given for each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// `t`: zero is false, anything else true.
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
    /// `l`, and `L` as RabbitMQ reads it.
    I64(i64),
    /// `f`.
    F32(f32),
    /// `d`.
    F64(f64),
    /// `D`: `value` divided by ten to the power of `scale`.
    Decimal {
        /// Digits after the point.
        scale: u8,
        /// The digits.
        value: u32,
    },
    /// `S`: any bytes, mostly UTF-8.
    LongStr(&'a [u8]),
    /// `A`.
    Array(Array<'a>),
    /// `T`: seconds since 1970.
    Timestamp(u64),
    /// `F`.
    Table(Table<'a>),
    /// `V`.
    Void,
    /// `x`.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// RabbitMQ's name of the type, as in its error texts.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Value::Bool(_) => "bool",
            Value::I8(_) => "byte",
            Value::U8(_) => "unsignedbyte",
            Value::I16(_) => "short",
            Value::U16(_) => "unsignedshort",
            Value::I32(_) => "signedint",
            Value::U32(_) => "unsignedint",
            Value::I64(_) => "long",
            Value::F32(_) => "float",
            Value::F64(_) => "double",
            Value::Decimal { .. } => "decimal",
            Value::LongStr(_) => "longstr",
            Value::Array(_) => "array",
            Value::Timestamp(_) => "timestamp",
            Value::Table(_) => "table",
            Value::Void => "void",
            Value::Bytes(_) => "binary",
        }
    }

    /// The number, for every integer width; none for a timestamp or any other type.
    pub const fn as_integer(&self) -> Option<i64> {
        match *self {
            Value::I8(v) => Some(v as i64),
            Value::U8(v) => Some(v as i64),
            Value::I16(v) => Some(v as i64),
            Value::U16(v) => Some(v as i64),
            Value::I32(v) => Some(v as i64),
            Value::U32(v) => Some(v as i64),
            Value::I64(v) => Some(v),
            _ => None,
        }
    }

    /// The bytes of a long string.
    pub const fn as_str_bytes(&self) -> Option<&'a [u8]> {
        match *self {
            Value::LongStr(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A copy that owns its bytes.
    pub fn to_owned(self) -> FieldValue {
        match self {
            Value::Bool(v) => FieldValue::Bool(v),
            Value::I8(v) => FieldValue::I8(v),
            Value::U8(v) => FieldValue::U8(v),
            Value::I16(v) => FieldValue::I16(v),
            Value::U16(v) => FieldValue::U16(v),
            Value::I32(v) => FieldValue::I32(v),
            Value::U32(v) => FieldValue::U32(v),
            Value::I64(v) => FieldValue::I64(v),
            Value::F32(v) => FieldValue::F32(v),
            Value::F64(v) => FieldValue::F64(v),
            Value::Decimal { scale, value } => FieldValue::Decimal { scale, value },
            Value::LongStr(v) => FieldValue::LongStr(v.to_vec()),
            Value::Array(v) => FieldValue::Array(v.iter().map(Value::to_owned).collect()),
            Value::Timestamp(v) => FieldValue::Timestamp(v),
            Value::Table(v) => FieldValue::Table(v.to_owned()),
            Value::Void => FieldValue::Void,
            Value::Bytes(v) => FieldValue::Bytes(v.to_vec()),
        }
    }
}

#[inline]
fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], TableError> {
    let (head, tail) = rest.split_at_checked(len).ok_or(TableError::Truncated)?;
    *rest = tail;
    Ok(head)
}

#[inline]
fn fixed<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], TableError> {
    let (head, tail) = rest.split_first_chunk().ok_or(TableError::Truncated)?;
    *rest = tail;
    Ok(*head)
}

fn take_long<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], TableError> {
    let len = u32::from_be_bytes(fixed(rest)?);
    take(rest, len as usize)
}

/// Cuts one key and value off, not looking into nested tables and arrays.
fn take_field<'a>(rest: &mut &'a [u8]) -> Result<(&'a [u8], Value<'a>), TableError> {
    let [len] = fixed(rest)?;
    let key = take(rest, usize::from(len))?;
    Ok((key, take_value(rest)?))
}

/// Cuts one value off, not looking into nested tables and arrays.
fn take_value<'a>(rest: &mut &'a [u8]) -> Result<Value<'a>, TableError> {
    let [kind] = fixed(rest)?;
    Ok(match kind {
        b'S' => Value::LongStr(take_long(rest)?),
        b'I' => Value::I32(i32::from_be_bytes(fixed(rest)?)),
        b't' => Value::Bool(fixed(rest)? != [0]),
        b'l' | b'L' => Value::I64(i64::from_be_bytes(fixed(rest)?)),
        b'T' => Value::Timestamp(u64::from_be_bytes(fixed(rest)?)),
        b'F' => Value::Table(Table(take_long(rest)?)),
        b'A' => Value::Array(Array(take_long(rest)?)),
        b'd' => Value::F64(f64::from_be_bytes(fixed(rest)?)),
        b'f' => Value::F32(f32::from_be_bytes(fixed(rest)?)),
        b'b' => Value::I8(i8::from_be_bytes(fixed(rest)?)),
        b'B' => Value::U8(u8::from_be_bytes(fixed(rest)?)),
        b's' => Value::I16(i16::from_be_bytes(fixed(rest)?)),
        b'u' => Value::U16(u16::from_be_bytes(fixed(rest)?)),
        b'i' => Value::U32(u32::from_be_bytes(fixed(rest)?)),
        b'D' => {
            let [scale] = fixed(rest)?;
            Value::Decimal { scale, value: u32::from_be_bytes(fixed(rest)?) }
        }
        b'x' => Value::Bytes(take_long(rest)?),
        b'V' => Value::Void,
        unknown => return Err(TableError::UnknownType(unknown)),
    })
}

fn extent<'a>(values: impl Iterator<Item = Value<'a>>) -> (usize, usize) {
    values.fold((0, 1), |(count, depth), value| {
        let (within, below) = match value {
            Value::Table(table) => table.extent(),
            Value::Array(array) => extent(array.iter()),
            _ => (0, 0),
        };
        (count + 1 + within, depth.max(below + 1))
    })
}

fn check_table(mut rest: &[u8], depth: usize) -> Result<(), TableError> {
    while !rest.is_empty() {
        let (_, value) = take_field(&mut rest)?;
        check_nested(value, depth)?;
    }
    Ok(())
}

fn check_array(mut rest: &[u8], depth: usize) -> Result<(), TableError> {
    while !rest.is_empty() {
        let value = take_value(&mut rest)?;
        check_nested(value, depth)?;
    }
    Ok(())
}

#[inline]
fn check_nested(value: Value<'_>, depth: usize) -> Result<(), TableError> {
    match value {
        Value::Table(_) | Value::Array(_) if depth >= DEPTH_MAX => Err(TableError::TooDeep),
        Value::Table(table) => check_table(table.0, depth + 1),
        Value::Array(array) => check_array(array.0, depth + 1),
        _ => Ok(()),
    }
}
