//! Between the API's types and the domain's; each way once.

mod capture;
mod file;
mod request;
mod time;
mod update;

pub use self::request::Defaults;
pub(super) use self::{
    capture::{capture, labels_match, state_from},
    file::file,
    request::order,
    time::{duration, timestamp},
    update::update,
};
