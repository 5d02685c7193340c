//! Lets a node compile a filter before a resource with it is written: whoever asks learns at once what is wrong.

use std::time::Duration;

use capture_proto::v1::{self, capture_service_client::CaptureServiceClient};
use tonic::{Code, Request, Status};

use crate::nodes::Nodes;

/// Time limit.
const PATIENCE: Duration = Duration::from_secs(10);
/// A name that no capture has: names of resources contain no capital letters.
const NAME: &str = "Validation";

/// What is compiled.
#[derive(Debug, Default)]
pub(super) struct Question {
    /// Names of nodes to choose from; any if empty.
    pub(super) nodes: Vec<String>,
    /// The filter.
    pub(super) filter: String,
}

/// Fails if the filter is wrong; `false` if no node could be asked.
pub(super) async fn compile(nodes: &Nodes, question: Question) -> Result<bool, Status> {
    let names = match question.nodes {
        names if names.is_empty() => nodes.names(),
        names => names,
    };
    let Some(client) = names.iter().find_map(|name| nodes.client(name)) else {
        return Ok(false);
    };
    let mut request = Request::new(v1::StartCaptureRequest {
        name: NAME.to_owned(),
        spec: Some(v1::CaptureSpec {
            filter: question.filter,
            ..v1::CaptureSpec::default()
        }),
        reason: "a filter is validated".to_owned(),
        validate_only: true,
        ..v1::StartCaptureRequest::default()
    });
    request.set_timeout(PATIENCE);
    let mut service = CaptureServiceClient::new(client.channel());
    match service.start_capture(request).await {
        Err(status) if status.code() == Code::InvalidArgument => Err(status),
        // What is not possible on this node now says nothing about the filter.
        Err(_) => Ok(false),
        Ok(_) => Ok(true),
    }
}
