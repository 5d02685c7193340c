//! What a client may call, decided before a request reaches any method.

use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};
use tonic::{
    Status,
    body::Body,
    codegen::{Service, http},
};
use tower::Layer;

use super::peer::Peer;
use crate::audit;
use capture_types::Role;

/// Methods for viewers; all others, including new ones, are for operators.
const FOR_VIEWERS: [&str; 8] = [
    "/capture.v1.CaptureService/GetCapture",
    "/capture.v1.CaptureService/ListCaptures",
    "/capture.v1.CaptureService/WatchCaptures",
    "/capture.v1.FileService/ListFiles",
    "/capture.v1.NodeService/GetNode",
    "/capture.v1.NodeService/ListInterfaces",
    "/capture.v1.NodeService/WatchInterfaces",
    "/grpc.health.v1.Health/",
];
const REFLECTION: &str = "/grpc.reflection.";

/// The least role that may call a method.
fn needed(path: &str) -> Role {
    let is_for_viewers =
        |method: &str| path == method || (method.ends_with('/') && path.starts_with(method));
    if FOR_VIEWERS.into_iter().any(is_for_viewers) || path.starts_with(REFLECTION) {
        Role::Viewer
    } else {
        Role::Operator
    }
}

/// Rejects calls that the peer of a connection may not make.
#[derive(Debug, Clone, Copy)]
pub(super) struct AccessLayer;

impl<S> Layer<S> for AccessLayer {
    type Service = Access<S>;

    fn layer(&self, inner: S) -> Access<S> {
        Access { inner }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Access<S> {
    inner: S,
}

impl<S> Service<http::Request<Body>> for Access<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Self::Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = request.uri().path();
        let needed = needed(method);
        let refusal = match request.extensions().get::<Peer>() {
            Some(peer) if peer.role >= needed => return Either::Left(self.inner.call(request)),
            Some(peer) => {
                audit::refused(&peer.identity, method, "its role does not allow it");
                Status::permission_denied(format!(
                    "{} is {}, and {method} is for an {}; ask for that role in the daemon's \
                     configuration",
                    peer.identity,
                    peer.role.name(),
                    needed.name(),
                ))
            }
            None => Status::unauthenticated("the client is not authenticated"),
        };
        Either::Right(ready(Ok(refusal.into_http())))
    }
}

#[cfg(test)]
mod tests {
    use super::{Role, needed};

    #[test]
    fn whatever_is_not_known_to_be_harmless_is_for_operators() {
        for method in [
            "/capture.v1.CaptureService/StartCapture",
            "/capture.v1.CaptureService/StreamPackets",
            "/capture.v1.FileService/ReadFile",
            "/capture.v1.NodeService/SetLogLevel",
            "/capture.v2.CaptureService/GetCapture",
            "/capture.v1.CaptureService/GetCaptureAndMore",
            "/",
        ] {
            assert_eq!(needed(method), Role::Operator, "{method}");
        }
        for method in [
            "/capture.v1.CaptureService/ListCaptures",
            "/grpc.health.v1.Health/Check",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        ] {
            assert_eq!(needed(method), Role::Viewer, "{method}");
        }
    }
}
