//! The promises of the analysis, checked against tshark and capinfos.

mod command;
mod differences;
mod peers;
mod tshark;
