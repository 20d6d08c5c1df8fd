//! The numbers of AMQP 0-9-1: frame types, class ids and reply codes (specification section 1.2,
//! RabbitMQ's `amqp-rabbitmq-0.9.1.json`).

/// What a client sends first, and what a server answers to anything else (4.2.2).
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\0\0\x09\x01";

/// A frame that carries a method.
pub const FRAME_METHOD: u8 = 1;
/// A frame that carries a content header.
pub const FRAME_HEADER: u8 = 2;
/// A frame that carries a piece of a content body.
pub const FRAME_BODY: u8 = 3;
/// A heartbeat frame, on channel 0 only.
pub const FRAME_HEARTBEAT: u8 = 8;
/// The octet after every frame's payload.
pub const FRAME_END: u8 = 0xCE;
/// The smallest `frame_max` that may be negotiated, and the limit during the handshake.
pub const FRAME_MIN_SIZE: u32 = 4096;
/// Type, channel and size before a payload.
pub const FRAME_HEADER_LEN: usize = 7;
/// What a frame has beside its payload: seven octets before it and one after.
pub const FRAME_OVERHEAD: usize = 8;

/// Class `connection`.
pub const CLASS_CONNECTION: u16 = 10;
/// Class `channel`.
pub const CLASS_CHANNEL: u16 = 20;
/// Class `access` (deprecated, still sent by old clients).
pub const CLASS_ACCESS: u16 = 30;
/// Class `exchange`.
pub const CLASS_EXCHANGE: u16 = 40;
/// Class `queue`.
pub const CLASS_QUEUE: u16 = 50;
/// Class `basic`, the only one with content.
pub const CLASS_BASIC: u16 = 60;
/// Class `confirm` (RabbitMQ's extension).
pub const CLASS_CONFIRM: u16 = 85;
/// Class `tx`.
pub const CLASS_TX: u16 = 90;

macro_rules! reply_codes {
    ($($variant:ident = $code:literal, $name:literal, $hard:literal;)*) => {
        /// A reply code, with the name that RabbitMQ puts before every reply text.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum ReplyCode {
            $(#[doc = concat!("`", $name, "`, ", stringify!($code), ".")] $variant = $code,)*
        }

        impl ReplyCode {
            /// Every reply code, in order.
            pub const ALL: &[ReplyCode] = &[$(ReplyCode::$variant,)*];

            /// The name in RabbitMQ's spelling, such as `PRECONDITION_FAILED`.
            pub const fn name(self) -> &'static str {
                match self { $(ReplyCode::$variant => $name,)* }
            }

            /// Whether the error closes the connection and not only the channel.
            pub const fn is_hard(self) -> bool {
                match self { $(ReplyCode::$variant => $hard,)* }
            }

            /// The reply code of a number, if it is one of 0-9-1's.
            pub const fn from_code(code: u16) -> Option<ReplyCode> {
                match code { $($code => Some(ReplyCode::$variant),)* _ => None }
            }
        }
    };
}

reply_codes! {
    ReplySuccess = 200, "REPLY_SUCCESS", false;
    ContentTooLarge = 311, "CONTENT_TOO_LARGE", false;
    NoRoute = 312, "NO_ROUTE", false;
    NoConsumers = 313, "NO_CONSUMERS", false;
    ConnectionForced = 320, "CONNECTION_FORCED", true;
    InvalidPath = 402, "INVALID_PATH", true;
    AccessRefused = 403, "ACCESS_REFUSED", false;
    NotFound = 404, "NOT_FOUND", false;
    ResourceLocked = 405, "RESOURCE_LOCKED", false;
    PreconditionFailed = 406, "PRECONDITION_FAILED", false;
    FrameError = 501, "FRAME_ERROR", true;
    SyntaxError = 502, "SYNTAX_ERROR", true;
    CommandInvalid = 503, "COMMAND_INVALID", true;
    ChannelError = 504, "CHANNEL_ERROR", true;
    UnexpectedFrame = 505, "UNEXPECTED_FRAME", true;
    ResourceError = 506, "RESOURCE_ERROR", true;
    NotAllowed = 530, "NOT_ALLOWED", true;
    NotImplemented = 540, "NOT_IMPLEMENTED", true;
    InternalError = 541, "INTERNAL_ERROR", true;
}

impl ReplyCode {
    /// The number on the wire.
    pub const fn code(self) -> u16 {
        self as u16
    }
}
