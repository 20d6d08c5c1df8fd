//! The meaning of a broker: messages, routing, queues and dispatch; synchronous and deterministic.
