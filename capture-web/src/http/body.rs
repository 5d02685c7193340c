//! Bodies of uploads within bounds: bytes in all, silence, speed, and bytes that nobody has taken yet.
//!
//! The parser of forms takes whatever is there before it hands anything on, and reads the head of a part to its
//! end however long that is. Therefore frames are handed over one by one, and what was handed over and not
//! claimed by the handler is bounded.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use futures_util::StreamExt as _;
use http_body::{Body as HttpBody, Frame};
use tokio::{
    sync::Semaphore,
    time::{Instant, Sleep, sleep, timeout},
};

/// Bytes that the parser may hold: the head of a part, and a frame of data.
const UNCLAIMED: usize = 1 << 20;
/// Before this time the speed is not measured.
const START: Duration = Duration::from_secs(30);
/// What a refused client still sends is read for this long, so that it sees the answer.
const DRAIN: Duration = Duration::from_secs(3);
/// But no more than this.
const DRAIN_BYTES: usize = 64 << 20;
/// Clients at once whose rest is read.
static DRAINS: Semaphore = Semaphore::const_new(64);

/// Bounds of a body.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyBounds {
    /// Bytes in all.
    pub bytes: u64,
    /// How long the client may be silent.
    pub silence: Duration,
    /// Bytes per second on average.
    pub rate: u64,
}

/// Which bound was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    #[error("too many bytes")]
    TooLarge,
    #[error("the client is silent")]
    Silent,
    #[error("the client is too slow")]
    TooSlow,
    #[error("the head of a part is too long")]
    Head,
    #[error("the client broke off")]
    Broken,
}

/// What is known of a body while it is read.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    unclaimed: AtomicUsize,
    error: Mutex<Option<BodyError>>,
}

impl Meter {
    /// The handler has taken everything that the parser held.
    pub(super) fn claim(&self) {
        self.0.unclaimed.store(0, Relaxed);
    }

    /// The bound that was passed.
    pub(super) fn error(&self) -> Option<BodyError> {
        *self.0.error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body within bounds.
pub(super) struct Bounded {
    inner: Option<Body>,
    bounds: BodyBounds,
    meter: Meter,
    begun: Instant,
    total: u64,
    silence: Pin<Box<Sleep>>,
    /// Whether the next poll lets the parser hand on what it has.
    pause: bool,
}

impl Bounded {
    /// Bounds a body.
    pub(super) fn new(body: Body, bounds: BodyBounds) -> (Self, Meter) {
        let meter = Meter::default();
        let bounded = Self {
            inner: Some(body),
            bounds,
            meter: meter.clone(),
            begun: Instant::now(),
            total: 0,
            silence: Box::pin(sleep(bounds.silence)),
            pause: false,
        };
        (bounded, meter)
    }

    fn fail(&self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        *self
            .meter
            .0
            .error
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(error);
        Poll::Ready(Some(Err(error)))
    }

    fn count(&mut self, bytes: usize) -> Result<(), BodyError> {
        self.total += bytes as u64;
        if self.total > self.bounds.bytes {
            return Err(BodyError::TooLarge);
        }
        let unclaimed = self.meter.0.unclaimed.fetch_add(bytes, Relaxed) + bytes;
        if unclaimed > UNCLAIMED {
            return Err(BodyError::Head);
        }
        let elapsed = self.begun.elapsed();
        if elapsed > START && self.total < elapsed.as_secs().saturating_mul(self.bounds.rate) {
            return Err(BodyError::TooSlow);
        }
        Ok(())
    }
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if std::mem::take(&mut self.pause) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        match Pin::new(inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                if let Err(error) = self.count(bytes) {
                    return self.fail(error);
                }
                let until = Instant::now() + self.bounds.silence;
                self.silence.as_mut().reset(until);
                self.pause = true;
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.inner = None;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(_))) => {
                self.inner = None;
                self.fail(BodyError::Broken)
            }
            Poll::Pending => {
                if self.silence.as_mut().poll(context).is_ready() {
                    return self.fail(BodyError::Silent);
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Bounded {
    /// A client that is refused in the middle of its upload would lose the answer if the connection was closed
    /// while it still sends.
    fn drop(&mut self) {
        if let Some(body) = self.inner.take()
            && let Ok(place) = DRAINS.try_acquire()
        {
            tokio::spawn(async move {
                let _ = timeout(DRAIN, drain(body)).await;
                drop(place);
            });
        }
    }
}

async fn drain(body: Body) {
    let mut stream = body.into_data_stream();
    let mut bytes = 0;
    while let Some(Ok(data)) = stream.next().await {
        bytes += data.len();
        if bytes > DRAIN_BYTES {
            return;
        }
    }
}
