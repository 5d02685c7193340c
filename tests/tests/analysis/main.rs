//! The promises of the analysis, held against tshark and capinfos.

mod command;
mod differences;
mod peers;
mod tshark;
