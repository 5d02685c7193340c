//! Request bodies: limits on their size, their memory, and the time to send them.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::{
    Status,
    body::Body,
    codegen::{Service, http},
};
use tower::Layer;

use super::{
    bounds,
    memory::{ClientMemory, Reserved},
    peer::Peer,
};

/// How long a client may take to send the body of a call.
const DEADLINE: Duration = Duration::from_secs(10);

/// Upper bound of the memory for a byte of a message after decoding: an empty text takes 2 bytes in
/// a message and 24 in memory.
const DECODED: u64 = 12;

/// The flag and the length before each gRPC message.
const HEADER: usize = 5;

/// Bounds the body of each request.
#[derive(Debug, Clone)]
pub(super) struct BodyLayer(pub(super) Arc<ClientMemory>);

impl<S> Layer<S> for BodyLayer {
    type Service = BodyBounds<S>;

    fn layer(&self, inner: S) -> BodyBounds<S> {
        BodyBounds {
            inner,
            memory: Arc::clone(&self.0),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct BodyBounds<S> {
    inner: S,
    memory: Arc<ClientMemory>,
}

impl<S> Service<http::Request<Body>> for BodyBounds<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let who = request
            .extensions()
            .get::<Peer>()
            .map_or_else(|| "unknown".into(), |peer| Arc::clone(&peer.identity));
        // Reserved for the whole request, until it is answered.
        let reserved = match self.memory.reserve(&who, 0) {
            Ok(reserved) => Arc::new(Mutex::new(reserved)),
            Err(error) => {
                return Box::pin(async move { Ok(Status::from(error).into_http()) });
            }
        };
        let path = request.uri().path();
        // A reflection stream may stay open without requests.
        let is_stream = path.starts_with("/grpc.reflection.");
        let most = bounds::message(path);
        let held = Arc::clone(&reserved);
        let request = request.map(|body| {
            Body::new(Bounded {
                inner: body,
                reserved: held,
                most,
                left: if is_stream { usize::MAX } else { most + HEADER },
                header: Vec::with_capacity(HEADER),
                deadline: (!is_stream).then(|| Box::pin(sleep(DEADLINE))),
            })
        });
        let answered = self.inner.call(request);
        Box::pin(async move {
            let answer = answered.await;
            drop(reserved);
            answer
        })
    }
}

/// The body of one request.
struct Bounded {
    inner: Body,
    reserved: Arc<Mutex<Reserved>>,
    /// Maximum bytes of a message.
    most: usize,
    /// Bytes left of the limit.
    left: usize,
    /// The first bytes.
    header: Vec<u8>,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Bounded {
    fn take(&mut self, data: &Bytes) -> Result<(), Status> {
        let length = data.remaining();
        let most = self.most;
        let too_large = || {
            Status::resource_exhausted(format!(
                "the request is larger than this call allows, which is {most} bytes"
            ))
        };
        self.left = self.left.checked_sub(length).ok_or_else(too_large)?;
        let mut reserve = length as u64 * DECODED;
        if self.header.len() < HEADER {
            let missing = HEADER - self.header.len();
            self.header.extend(data.iter().copied().take(missing));
            if let [flag, claimed @ ..] = &self.header[..]
                && let Ok(claimed) = <[u8; 4]>::try_from(claimed)
            {
                if u32::from_be_bytes(claimed) as usize > most {
                    return Err(too_large());
                }
                if *flag != 0 {
                    // The final size is not known yet.
                    reserve += most as u64 * DECODED;
                }
            }
        }
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(reserved.grow(reserve)?)
    }
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            let Some(frame) = frame else {
                return Poll::Ready(None);
            };
            let checked = frame.and_then(|frame| {
                if let Some(data) = frame.data_ref() {
                    self.take(data)?;
                }
                Ok(frame)
            });
            return Poll::Ready(Some(checked));
        }
        match &mut self.deadline {
            Some(deadline) => {
                ready!(deadline.as_mut().poll(context));
                let late = format!("the request was not complete within {DEADLINE:?}");
                Poll::Ready(Some(Err(Status::deadline_exceeded(late))))
            }
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
