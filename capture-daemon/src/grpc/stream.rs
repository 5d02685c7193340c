//! Answers that are streams: a task fills a short queue, and ends when nobody reads any more.

use std::{future::Future, pin::Pin};

use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Response, Status};

use crate::manager::Manager;

/// Messages that wait for a reader.
const QUEUE: usize = 4;

/// A stream of answers.
pub(super) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Where a task puts its answers.
pub(super) type Sink<T> = mpsc::Sender<Result<T, Status>>;

/// Nobody reads any more.
pub(super) struct Gone;

impl<T> From<mpsc::error::SendError<T>> for Gone {
    fn from(_: mpsc::error::SendError<T>) -> Self {
        Self
    }
}

/// Starts a task that answers, and ends it when the daemon ends or the reader is gone.
pub(super) fn answer<T, F>(
    manager: &Manager,
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
        tokio::select! {
            _ = task => {}
            () = gone.closed() => {}
            () = manager.closing() => {
                let _ = last.send(Err(Status::unavailable("the daemon ends"))).await;
            }
        }
    });
    Response::new(Box::pin(ReceiverStream::new(answers)))
}
