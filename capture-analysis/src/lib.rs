//! From capture files to an answer, in one streaming pass: reader, decoder, flows, analysers, report.
//! There is no server, no database and no kernel in here, and memory does not grow with the file.

pub mod analysers;
pub mod decode;
mod engine;
pub mod flow;
mod packet;
pub mod render;
pub mod report;
mod run;
mod settings;
pub mod tcp;

pub use engine::{Analysis, FrameSink, Sources};
pub use packet::Packet;
pub use run::{Bounds, Hooks, Source, analyse};
pub use settings::{Hints, Settings, Share, Span, Thresholds};
