//! What can be wrong with a method payload, a content header or properties.

use std::fmt::Write;

use super::table::TableError;

/// Why a method, a content header or a property list could not be decoded. The ids are those of
/// the method, or `60, 0` for the properties of class `basic`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fewer bytes than the ids or the fixed fields need.
    #[error("payload too short")]
    TooShort,
    /// No method of 0-9-1 has these ids.
    #[error("unknown method {class_id}.{method_id}")]
    UnknownMethod {
        /// Class id as sent.
        class_id: u16,
        /// Method id as sent.
        method_id: u16,
    },
    /// Truncated fields, or bytes after the last one (RabbitMQ refuses both).
    #[error("cannot decode {class_id}.{method_id}")]
    Malformed {
        /// Class id.
        class_id: u16,
        /// Method id.
        method_id: u16,
    },
    /// A field table that is not one.
    #[error("malformed table in {class_id}.{method_id}: {source}")]
    MalformedTable {
        /// Class id.
        class_id: u16,
        /// Method id.
        method_id: u16,
        /// What is wrong with it.
        source: TableError,
    },
    /// A short string that is not UTF-8.
    #[error("malformed UTF-8 in shortstr of {class_id}.{method_id}")]
    InvalidUtf8 {
        /// Class id.
        class_id: u16,
        /// Method id.
        method_id: u16,
    },
}

impl DecodeError {
    /// Class and method id to put into `connection.close`; zeros if there were none.
    pub const fn ids(&self) -> (u16, u16) {
        match *self {
            DecodeError::TooShort => (0, 0),
            DecodeError::UnknownMethod { class_id, method_id }
            | DecodeError::Malformed { class_id, method_id }
            | DecodeError::MalformedTable { class_id, method_id, .. }
            | DecodeError::InvalidUtf8 { class_id, method_id } => (class_id, method_id),
        }
    }

    /// RabbitMQ's reply text for this error in the method frame `payload` (`error-texts`:
    /// "truncated method"; `rabbit_misc:frame_error/2`, `rabbit_binary_parser:assert_utf8/1`).
    /// RabbitMQ drops the connection for an unknown method; we say what it was.
    pub fn reply_text(&self, payload: &[u8]) -> String {
        match self {
            DecodeError::InvalidUtf8 { .. } => {
                "FRAME_ERROR - Malformed UTF-8 in shortstr".to_owned()
            }
            DecodeError::UnknownMethod { .. } => format!("FRAME_ERROR - {self}"),
            _ => {
                let fields = payload.get(4..).unwrap_or_default();
                let mut text = String::from("FRAME_ERROR - cannot decode <<");
                for (index, byte) in fields.iter().take(48).enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    // Writing to a String cannot fail.
                    let _ = write!(text, "{comma}{byte}");
                }
                text.push_str(if fields.len() > 48 { ",...>>" } else { ">>" });
                text
            }
        }
    }
}
