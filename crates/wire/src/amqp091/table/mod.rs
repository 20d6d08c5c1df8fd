//! Field tables: a borrowed, validated view of the bytes and an owned form.
//!
//! `view` owns [`Table`], [`Array`] and [`Value`], which read straight from a frame; `owned` has
//! [`FieldTable`] and [`FieldValue`], which are built, kept and logged. Types and their names are
//! those of RabbitMQ's `rabbit_binary_parser`, where both `l` and `L` are signed 64-bit numbers.

mod owned;
mod view;

pub use owned::{FieldTable, FieldValue};
pub use view::{Array, ArrayIter, Table, TableError, TableIter, Value};

/// How deep tables and arrays may be nested; RabbitMQ has no limit, we need one.
pub const DEPTH_MAX: usize = 64;
