//! Entry points of the fuzz targets: parsers of outside input that are private otherwise.

use capture_proto::v1;
use capture_session::filters;
use prost::Message as _;

use crate::{
    grpc::{self, Defaults},
    manager::Record,
    serve::config::{self, Config},
};

/// Reads a state file of a capture.
pub fn state_file(bytes: &[u8]) {
    // A rejection is as good as any other result, here and below.
    let _ = serde_json::from_slice::<Record>(bytes);
}

/// Reads a configuration file and checks it.
pub fn configuration(text: &str) {
    filters::compile_in_this_process();
    if let Ok((layers, tables)) = config::read(Some(("fuzz", text)), std::iter::empty(), &[]) {
        let _ = Config::check(&layers, &tables);
    }
}

/// Converts a request to start a capture. Its filters are removed: they have separate fuzz targets.
pub fn start_request(bytes: &[u8], defaults: &Defaults) {
    if let Ok(mut request) = v1::StartCaptureRequest::decode(bytes) {
        if let Some(spec) = &mut request.spec {
            spec.filter.clear();
            spec.inner_filter = None;
        }
        grpc::convert_start(request, defaults);
    }
}

/// Converts a request to change a capture; also without filters.
pub fn update_request(bytes: &[u8]) {
    if let Ok(mut request) = v1::UpdateCaptureRequest::decode(bytes) {
        if let Some(spec) = &mut request.spec {
            spec.filter.clear();
            spec.inner_filter = None;
        }
        grpc::convert_update(&request);
    }
}
