//! Frames: cutting a byte stream into them and writing them.
//!
//! `decoder` owns the incremental reader and its errors, `header` the content header, `publish` the
//! publish that is there as a whole, `writer` the functions of the hot path that write whole frames
//! without looking at a [`super::method`].

mod decoder;
mod error;
mod header;
mod publish;
mod writer;

pub use super::constants::{FRAME_END, FRAME_HEADER_LEN, FRAME_OVERHEAD};
pub use decoder::{Decoder, Event, UNLIMITED_PAYLOAD_MAX};
pub use error::{FrameError, erlang_binary};
pub use header::ContentHeader;
pub use publish::Publish;
pub use writer::{
    Delivery, write_ack, write_body_frame_header, write_content_header, write_deliver,
    write_delivery, write_get_ok, write_heartbeat, write_nack, write_publish, write_return,
};
