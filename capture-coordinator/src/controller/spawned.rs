//! Reconciles on all threads: each in a task of its own, which ends with the controller.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use kube::runtime::controller::Action;
use tokio::task::JoinHandle;

use super::error::Error;

/// A reconcile in a task of its own; aborted when this is dropped.
pub(super) struct Spawned(JoinHandle<Result<Action, Error>>);

impl Spawned {
    pub(super) fn new(
        reconcile: impl Future<Output = Result<Action, Error>> + Send + 'static,
    ) -> Self {
        Self(tokio::spawn(reconcile))
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Future for Spawned {
    type Output = Result<Action, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(ended.unwrap_or_else(|error| {
            Err(Error::Task {
                problem: error.to_string(),
            })
        }))
    }
}
