//! Conversations: who speaks with whom, each way.

mod application;
mod key;
mod pairs;
mod table;
mod throughput;
mod totals;

pub use application::Application;
pub use key::{AddressKey, Endpoint, FlowKey, Transport};
pub use pairs::{Pair, Pairs};
pub use table::{Flow, FlowId, FlowLimits, FlowTable};
pub use throughput::Throughput;
pub use totals::{Side, Span, Way};
