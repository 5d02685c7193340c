//! The API's messages into the client's types and back: the only place that knows both.

mod capture;
mod file;
mod node;
mod packet;
mod spec;
pub(super) mod time;

pub(super) use capture::{capture, event};
pub(super) use file::file;
pub(super) use node::{interface, node};
pub(super) use packet::stream_event;
pub(super) use spec::spec_to_proto;

/// A text that is empty when it is not known.
fn known(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
