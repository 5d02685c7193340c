//! StreamPackets.

use std::sync::Arc;

use capture_proto::v1;
use tonic::{Response, Status};

use super::stream::Answers;
use crate::manager::{Capture, Manager};

pub(super) fn stream(
    _manager: &Manager,
    _capture: &Arc<Capture>,
    _request: &v1::StreamPacketsRequest,
) -> Result<Response<Answers<v1::StreamPacketsResponse>>, Status> {
    Err(Status::unimplemented(
        "this version does not stream packets",
    ))
}
