//! A connection to a daemon that breaks.

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::Result;

/// Forwards connections to its socket, and breaks each time that a given number of bytes has come from
/// the daemon.
pub(crate) struct Breaking {
    pub(crate) socket: PathBuf,
    state: Arc<State>,
}

struct State {
    daemon: PathBuf,
    bytes: AtomicU64,
    breaks: AtomicUsize,
    /// Where to break, in bytes of all connections together; the next one is last.
    at: Mutex<Vec<u64>>,
}

impl Breaking {
    pub(crate) fn new(directory: &Path, daemon: &Path, at: &[u64]) -> Result<Self> {
        let socket = directory.join("breaking");
        let listener = UnixListener::bind(&socket)?;
        let state = Arc::new(State {
            daemon: daemon.to_owned(),
            bytes: AtomicU64::new(0),
            breaks: AtomicUsize::new(0),
            at: Mutex::new(at.iter().rev().copied().collect()),
        });
        let accepting = Arc::clone(&state);
        // Ends with the test's process.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // The client sees the end of the daemon as a broken connection.
                let _ = accepting.pass_on(client);
            }
        });
        Ok(Self { socket, state })
    }

    /// The number of breaks.
    pub(crate) fn breaks(&self) -> usize {
        self.state.breaks.load(Ordering::SeqCst)
    }
}

impl State {
    fn pass_on(self: &Arc<Self>, client: UnixStream) -> Result<()> {
        let daemon = UnixStream::connect(&self.daemon)?;
        let (mut from_client, mut to_daemon) = (client.try_clone()?, daemon.try_clone()?);
        thread::spawn(move || {
            // Ends when either side does.
            let _ = std::io::copy(&mut from_client, &mut to_daemon);
            let _ = to_daemon.shutdown(Shutdown::Both);
        });
        let state = Arc::clone(self);
        thread::spawn(move || {
            let _ = state.answer(&daemon, &client);
            let _ = client.shutdown(Shutdown::Both);
            let _ = daemon.shutdown(Shutdown::Both);
        });
        Ok(())
    }

    fn answer(&self, mut daemon: &UnixStream, mut client: &UnixStream) -> Result<()> {
        let mut buffer = [0; 16 << 10];
        loop {
            let read = daemon.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            let total = self.bytes.fetch_add(read as u64, Ordering::SeqCst) + read as u64;
            let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
            if at.pop_if(|next| *next <= total).is_some() {
                self.breaks.fetch_add(1, Ordering::SeqCst);
                return Ok(());
            }
            drop(at);
            client.write_all(&buffer[..read])?;
        }
    }
}
