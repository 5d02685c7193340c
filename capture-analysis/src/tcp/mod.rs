//! TCP, segment by segment: the flags of each one, named like Wireshark's, and the totals of the
//! connection.

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
