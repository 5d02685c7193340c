//! One capture on this machine: it follows the interfaces that are asked for, attaches programs to them, and
//! records what these copy into the ring buffer.

pub mod attach;
pub mod filters;
pub mod interfaces;
mod session;

pub use session::{
    Control, EndReason, InterfaceReport, Monitor, Report, Session, SessionError, SessionOptions,
    remove_leftovers,
};
