//! TCP, segment by segment: what each one is in the light of those before it, as Wireshark words it, and
//! what the connection adds up to.

mod classify;
mod connection;
mod flags;
mod half;
mod options;
pub(crate) mod sequence;

pub use connection::{Connection, Opened, Outcome, Reset, Waited};
pub use flags::{Flag, Flags};
pub use half::{Half, Round};
pub use options::{Offered, Options};
