//! Maps requests that are too large to the status that gRPC defines: RESOURCE_EXHAUSTED.

use std::task::{Context, Poll};

use futures_util::{TryFutureExt as _, future::MapOk};
use tonic::{
    Code, Status,
    body::Body,
    codegen::{Service, http},
};
use tower::Layer;

/// Replaces the status of requests that exceed the size limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct TooLargeLayer;

impl<S> Layer<S> for TooLargeLayer {
    type Service = TooLarge<S>;

    fn layer(&self, inner: S) -> TooLarge<S> {
        TooLarge { inner }
    }
}

#[derive(Debug, Clone)]
pub(super) struct TooLarge<S> {
    inner: S,
}

impl<S> Service<http::Request<Body>> for TooLarge<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = MapOk<S::Future, fn(http::Response<Body>) -> http::Response<Body>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.inner.call(request).map_ok(rename)
    }
}

/// tonic returns OUT_OF_RANGE, which our own methods use for offsets.
fn rename(response: http::Response<Body>) -> http::Response<Body> {
    match Status::from_header_map(response.headers()) {
        Some(status)
            if status.code() == Code::OutOfRange
                && status
                    .message()
                    .contains("decoded message length too large") =>
        {
            Status::new(
                Code::ResourceExhausted,
                format!(
                    "the request is larger than any call allows, which is {} bytes",
                    super::bounds::LARGEST_MESSAGE
                ),
            )
            .into_http()
        }
        _ => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_too_large_is_renamed() {
        let renamed = |status: Status| {
            let response = rename(status.into_http());
            Status::from_header_map(response.headers()).map(|status| status.code())
        };
        let large = "Error, decoded message length too large: found 9 bytes, the limit is: 8 bytes";
        assert_eq!(
            renamed(Status::out_of_range(large)),
            Some(Code::ResourceExhausted)
        );
        assert_eq!(
            renamed(Status::out_of_range("offset 9 is past the end")),
            Some(Code::OutOfRange)
        );
        assert_eq!(renamed(Status::internal(large)), Some(Code::Internal));
    }
}
