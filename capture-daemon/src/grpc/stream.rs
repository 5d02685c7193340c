//! Responses that are streams: a task fills a short queue, and ends when the reader is gone.

use std::{future::Future, pin::Pin};

use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Response, Status};

use super::memory::Reserved;
use crate::manager::Manager;

/// Messages that wait for a reader, besides the one being encoded and the one waiting for room.
const QUEUE: usize = 1;

/// Memory of a stream whose messages are small, in bytes, including what HTTP/2 buffers for a client
/// that does not read.
pub(super) const STREAM_MEMORY: u64 = 1 << 20;

/// A stream of answers.
pub(super) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The task's end of a stream.
pub(super) type Sink<T> = mpsc::Sender<Result<T, Status>>;

/// The client no longer reads.
pub(super) struct Gone;

impl<T> From<mpsc::error::SendError<T>> for Gone {
    fn from(_: mpsc::error::SendError<T>) -> Self {
        Self
    }
}

/// Starts a task that sends responses, and ends it when the daemon ends or the reader is gone. Its
/// memory is reserved meanwhile.
pub(super) fn answer<T, F>(
    manager: &Manager,
    memory: Reserved,
    task: impl FnOnce(Sink<T>) -> F,
) -> Response<Answers<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<(), Gone>> + Send + 'static,
{
    let (sink, answers) = mpsc::channel(QUEUE);
    let manager = manager.clone();
    let (last, gone) = (sink.clone(), sink.clone());
    let task = task(sink);
    tokio::spawn(async move {
        let _memory = memory;
        tokio::select! {
            _ = task => {}
            () = gone.closed() => {}
            () = manager.closing() => {
                let _ = last.send(Err(Status::unavailable("the daemon is shutting down"))).await;
            }
        }
    });
    Response::new(Box::pin(ReceiverStream::new(answers)))
}
