//! The exchange class.

use leveret_broker::broker::{BindRequest, ExchangeRequest};
use leveret_broker::routing::Destination;
use leveret_wire::amqp091::method::Method;

use super::channel::Channel;
use super::failure::Outcome;
use super::link::Link;

impl Channel {
    pub(super) fn on_exchange_method(&mut self, link: &mut Link, method: &Method<'_>) -> Outcome {
        match *method {
            Method::ExchangeDeclare { exchange, passive: true, no_wait, .. } => {
                link.broker().find_exchange(&link.who, exchange)?;
                self.answer(link, no_wait, &Method::ExchangeDeclareOk {});
            }
            Method::ExchangeDeclare {
                exchange,
                r#type,
                durable,
                auto_delete,
                internal,
                no_wait,
                arguments,
                ..
            } => {
                if !link.knows_exchange(exchange) {
                    link.check_exhausted("an exchange")?;
                }
                let request = ExchangeRequest {
                    name: exchange,
                    kind: r#type,
                    durable,
                    auto_delete,
                    internal,
                    arguments: arguments.to_owned(),
                };
                let position = link.broker().declare_exchange(&link.who, request)?;
                self.answer_durable(link, position, no_wait, &Method::ExchangeDeclareOk {});
            }
            Method::ExchangeDelete { exchange, if_unused, no_wait } => {
                let position = link.broker().delete_exchange(&link.who, exchange, if_unused)?;
                self.answer_durable(link, position, no_wait, &Method::ExchangeDeleteOk {});
            }
            Method::ExchangeBind { destination, source, routing_key, no_wait, arguments } => {
                link.check_exhausted("a binding")?;
                let destination = Destination::Exchange(destination.into());
                let arguments = arguments.to_owned();
                let request = BindRequest { source, destination, routing_key, arguments };
                let position = link.broker().bind(&link.who, request, link.now)?;
                self.answer_durable(link, position, no_wait, &Method::ExchangeBindOk {});
            }
            Method::ExchangeUnbind { destination, source, routing_key, no_wait, arguments } => {
                let destination = Destination::Exchange(destination.into());
                let arguments = arguments.to_owned();
                let request = BindRequest { source, destination, routing_key, arguments };
                let position = link.broker().unbind(&link.who, request)?;
                self.answer_durable(link, position, no_wait, &Method::ExchangeUnbindOk {});
            }
            _ => {}
        }
        Ok(())
    }
}
