//! Decompression of a file with limits: a file that expands far more than real traffic is stopped, and
//! its first bytes are kept, to identify a file that is not a capture file.

use std::{
    io::{self, Read},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Small files may expand to this much whatever the ratio.
const ALWAYS_ALLOWED: u64 = 64 << 20;
/// First bytes kept.
const START: usize = 512;

/// Limits of decompression.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes for each compressed byte. Captures of real traffic stay below 20; gzip's maximum is 1032.
    pub ratio: u64,
    /// Bytes in all.
    pub bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            ratio: 500,
            bytes: 1 << 42,
        }
    }
}

/// Properties of a file while it is read.
#[derive(Default)]
struct Shared {
    packed: AtomicU64,
    /// The first bytes on disk, and decompressed.
    starts: Mutex<(Vec<u8>, Vec<u8>)>,
    /// The limit that was reached.
    met: Mutex<Option<String>>,
}

/// Properties of a file that its reader does not report.
#[derive(Clone, Default)]
pub(super) struct Watch(Arc<Shared>);

impl Watch {
    /// The limit that was reached, if any.
    pub(super) fn met(&self) -> Option<String> {
        lock(&self.0.met).clone()
    }

    /// Bytes read from disk.
    pub(super) fn packed(&self) -> u64 {
        self.0.packed.load(Ordering::Relaxed)
    }

    /// The first bytes, decompressed.
    pub(super) fn start(&self) -> Vec<u8> {
        lock(&self.0.starts).1.clone()
    }

    /// Its compression.
    pub(super) fn compression(&self) -> Option<&'static str> {
        let starts = lock(&self.0.starts);
        if starts.0.starts_with(&[0x1f, 0x8b]) {
            Some("gzip")
        } else if starts.0.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Some("zstd")
        } else {
            None
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file, decompressed within limits, and its properties.
pub(super) fn open<'a>(
    input: impl Read + Send + 'a,
    bounds: Bounds,
) -> io::Result<(impl Read + Send + 'a, Watch)> {
    let watch = Watch::default();
    let packed = Packed {
        input,
        shared: Arc::clone(&watch.0),
    };
    let unpacked = Unpacked {
        input: capture_file::decoded(packed)?,
        shared: Arc::clone(&watch.0),
        written: 0,
        bounds,
    };
    Ok((unpacked, watch))
}

struct Packed<R> {
    input: R,
    shared: Arc<Shared>,
}

impl<R: Read> Read for Packed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        if self
            .shared
            .packed
            .fetch_add(count as u64, Ordering::Relaxed)
            < START as u64
        {
            keep(&mut lock(&self.shared.starts).0, &buffer[..count]);
        }
        Ok(count)
    }
}

struct Unpacked<R> {
    input: R,
    shared: Arc<Shared>,
    written: u64,
    bounds: Bounds,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        if self.written < START as u64 {
            keep(&mut lock(&self.shared.starts).1, &buffer[..count]);
        }
        self.written += count as u64;
        let packed = self.shared.packed.load(Ordering::Relaxed);
        let Bounds { ratio, bytes } = self.bounds;
        let met = if self.written <= packed {
            // It is not compressed.
            None
        } else if self.written > bytes {
            Some(format!("unpacks to more than {bytes} bytes"))
        } else if self.written > ALWAYS_ALLOWED.max(packed.saturating_mul(ratio)) {
            Some(format!("unpacks to more than {ratio} times its size"))
        } else {
            None
        };
        if let Some(met) = met {
            *lock(&self.shared.met) = Some(met.clone());
            return Err(io::Error::other(met));
        }
        Ok(count)
    }
}

fn keep(start: &mut Vec<u8>, bytes: &[u8]) {
    let room = START.saturating_sub(start.len()).min(bytes.len());
    start.extend(&bytes[..room]);
}
