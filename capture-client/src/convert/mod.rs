//! Converts the API's messages into the client's types and back: the only place that knows both.

mod capture;
mod file;
mod node;
mod packet;
mod pods;
mod spec;
pub(crate) mod time;

pub(crate) use capture::{capture, event};
pub(crate) use file::file;
pub(crate) use node::{interface, node};
pub(crate) use packet::stream_event;
pub(crate) use spec::{spec, spec_to_proto};

/// A text that is empty when unknown.
fn known(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
