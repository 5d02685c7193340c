//! The promises of the analysis, held against tshark and capinfos.

mod differences;
mod peers;
mod tshark;
