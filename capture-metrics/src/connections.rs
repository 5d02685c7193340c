//! Connections to the metrics port: few, and idle ones are closed.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::{Instant, Sleep, sleep, sleep_until},
};

/// A connection that is idle for this long is closed; Prometheus then opens a new one.
pub(crate) const IDLE: Duration = Duration::from_secs(30);

/// While all places are taken, the oldest connection is closed for a new one, once it has reached this
/// age.
const LEAST_AGE: Duration = Duration::from_secs(1);

/// When accepting fails, for example without free descriptors, the next attempt comes after this
/// pause.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts a limited number of connections at once.
pub(crate) struct Limited {
    listener: TcpListener,
    most: usize,
    /// The oldest first; dropping the sender closes the connection.
    open: VecDeque<(Instant, oneshot::Sender<()>)>,
}

impl Limited {
    pub(crate) const fn new(listener: TcpListener, most: usize) -> Self {
        Self {
            listener,
            most,
            open: VecDeque::new(),
        }
    }

    async fn room(&mut self) {
        loop {
            self.open.retain(|(_, close)| !close.is_closed());
            if self.open.len() < self.most {
                return;
            }
            let Some((began, _)) = self.open.front() else {
                return;
            };
            let due = *began + LEAST_AGE;
            if due <= Instant::now() {
                self.open.pop_front();
                return;
            }
            sleep_until(due).await;
        }
    }
}

impl axum::serve::Listener for Limited {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            self.room().await;
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    let (close, closed) = oneshot::channel();
                    self.open.push_back((Instant::now(), close));
                    let idle = Box::pin(sleep(IDLE));
                    let connection = Connection {
                        stream,
                        closed,
                        idle,
                        ended: false,
                    };
                    return (connection, from);
                }
                Err(error) => {
                    tracing::debug!("metrics: a connection was not accepted: {error}");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends when it is idle, or when its place is needed.
pub(crate) struct Connection {
    stream: TcpStream,
    closed: oneshot::Receiver<()>,
    idle: Pin<Box<Sleep>>,
    ended: bool,
}

impl Connection {
    /// An error if the connection must end.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        self.ended = self.ended
            || Pin::new(&mut self.closed).poll(context).is_ready()
            || self.idle.as_mut().poll(context).is_ready();
        if self.ended {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    fn note<T>(&mut self, moved: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            self.idle.as_mut().reset(Instant::now() + IDLE);
        }
        moved
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.note(read)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
