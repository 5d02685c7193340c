//! Shared by the command lines of `captured` and `capturectl`: [`console`], and the options that describe a
//! capture, for `captured record`, `captured filter`, `capturectl start`, `run` and `update`. No option has a
//! default here: `captured record` adds defaults, and the node has defaults for captures of `capturectl`.

pub mod console;
mod files;
mod filter;
mod limits;
mod source;

pub use files::{CompressWhenArg, DigestArg, FileArgs, FormatArg};
pub use filter::{FilterArgs, FilterFileError, TargetArgs};
pub use limits::LimitArgs;
pub use source::{DirectionArg, SourceArgs};
