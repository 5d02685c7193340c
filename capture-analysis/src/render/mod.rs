//! Reports for people and for spreadsheets. Data from packets is hostile: every text is escaped for its
//! medium.

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
