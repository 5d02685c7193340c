//! What the command lines of `captured` and `capturectl` share: [`console`], and the options that say what a capture is to do, once for `captured record`, `captured filter`, `capturectl
//! start`, `run` and `update`. No option has a default here: `captured record` adds its own, and of a capture
//! that `capturectl` starts, what is not given is the node's default.

pub mod console;
mod files;
mod filter;
mod limits;
mod source;

pub use files::{CompressWhenArg, FileArgs, FormatArg};
pub use filter::{FilterArgs, FilterFileError, TargetArgs};
pub use limits::LimitArgs;
pub use source::{DirectionArg, SourceArgs};
