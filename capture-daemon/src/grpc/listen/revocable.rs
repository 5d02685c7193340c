//! A connection that ends when its client loses the role that it had at its beginning.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that fails, for reading and writing, once its client's role is revoked. Calls in progress end with it.
pub(super) struct Revocable<S> {
    stream: S,
    identity: Arc<str>,
    /// `None` once it is.
    revoked: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<S> Revocable<S> {
    pub(super) fn new(
        stream: S,
        identity: Arc<str>,
        revoked: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self {
            stream,
            identity,
            revoked: Some(Box::pin(revoked)),
        }
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if let Some(revoked) = &mut self.revoked {
            if revoked.as_mut().poll(context).is_pending() {
                return Ok(());
            }
            self.revoked = None;
            tracing::info!(
                "a connection of {} is closed: it no longer has the role that it had",
                self.identity
            );
        }
        let why = "the client no longer has the role that it had";
        Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Revocable<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Revocable<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
