//! Conversion between the API's types and the domain's, once in each direction.

mod capture;
mod defaults;
mod file;
mod output;
mod pods;
mod request;
mod selection;
mod time;
mod update;

pub use self::defaults::Defaults;
pub(super) use self::{
    capture::{capture, counts, state_from},
    file::file,
    request::{capture_request, check_labels},
    time::{duration, timestamp},
    update::update,
};
