//! Bytes to frames and back, sans-I/O, one folder a protocol.
