//! JSON values as field values, in the types that RabbitMQ gives them.

use serde_json::{Map, Value};

use crate::message::{FieldTable, FieldValue};

/// How deep tables and arrays may nest: more could not be told to a client.
const DEPTH_MAX: usize = 16;

/// The fields of an object. RabbitMQ 3.10 exports some as a list of pairs (the definition of an
/// operator policy is one); null has none.
pub(super) fn object(value: &Value) -> Result<Map<String, Value>, String> {
    let pair = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
        Some([Value::String(key), value]) => Some((key.clone(), value.clone())),
        _ => None,
    };
    let fields = match value {
        Value::Null => Some(Map::new()),
        Value::Object(fields) => Some(fields.clone()),
        Value::Array(all) => all.iter().map(pair).collect(),
        _ => None,
    };
    fields.ok_or_else(|| "expected an object".to_owned())
}

/// The same as a table.
pub fn table(value: &Value) -> Result<FieldTable, String> {
    table_at(&object(value)?, 1)
}

fn table_at(fields: &Map<String, Value>, depth: usize) -> Result<FieldTable, String> {
    let mut table = FieldTable::default();
    for (key, value) in fields {
        if key.len() > 255 {
            return Err(format!("the key {key:?} is longer than 255 bytes"));
        }
        table.0.push((key.clone(), field(value, depth)?));
    }
    Ok(table)
}

fn field(value: &Value, depth: usize) -> Result<FieldValue, String> {
    if depth > DEPTH_MAX {
        return Err("values are nested too deep".to_owned());
    }
    Ok(match value {
        Value::Null => FieldValue::Void,
        Value::Bool(value) => FieldValue::Bool(*value),
        Value::String(text) => FieldValue::LongStr(text.clone().into_bytes()),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => FieldValue::I64(integer),
            (None, Some(float)) if !number.is_u64() => FieldValue::F64(float),
            _ => return Err(format!("the number {number} is too large")),
        },
        Value::Array(all) => {
            let all = all.iter().map(|value| field(value, depth + 1));
            FieldValue::Array(all.collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => FieldValue::Table(table_at(fields, depth + 1)?),
    })
}
