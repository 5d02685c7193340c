//! A report for people and for spreadsheets. What stands in packets is hostile: every text goes through
//! the escape of its medium.

mod csv;
mod ends;
mod escape;
mod html;
mod plot;
mod terminal;
mod units;

pub use csv::{Table, tables};
pub use escape::printable;
pub use html::html;
pub use terminal::terminal;
