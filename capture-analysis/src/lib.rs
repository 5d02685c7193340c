//! From capture files to a report, in one streaming pass: reader, decoder, flows, analysers, report.
//! It needs no server, database or kernel, and its memory does not grow with the file.

pub mod analysers;
pub mod crossing;
pub mod decode;
mod engine;
mod extract;
mod filter;
pub mod flow;
mod inputs;
mod packet;
mod records;
pub mod render;
pub mod report;
mod run;
mod settings;
pub mod tcp;

pub use engine::{Analysis, FrameSink, Sources};
pub use extract::{Wanted, extract};
pub use filter::{Filter, FilterError};
pub use inputs::{InputError, Inputs};
pub use packet::Packet;
pub use records::{Origin, Records, Tap};
pub use run::{Bounds, Hooks, Progress, Source, analyse};
pub use settings::{Hint, Hints, Settings, Share, Span, Thresholds};
