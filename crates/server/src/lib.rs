//! The running process: listeners, sessions, flow control, shutdown.
