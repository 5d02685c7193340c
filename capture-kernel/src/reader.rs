//! Tells the eBPF programs that the reader of the rings sleeps, so that the next packet wakes it.

use aya::maps::{Array, MapData, MapError};

/// The flag that the programs read. It is clear at first: the programs wake the reader once per
/// wake-up distance, and the reader's waits are bounded.
pub struct ReaderFlag {
    map: Array<MapData, u32>,
    sleeps: bool,
}

impl ReaderFlag {
    /// Takes over the map.
    pub(crate) const fn new(map: Array<MapData, u32>) -> Self {
        Self { map, sleeps: false }
    }

    /// Sets whether the next packet wakes the reader. A program that runs at this moment may still see
    /// the old value.
    ///
    /// # Errors
    ///
    /// The programs see the old value.
    pub fn set(&mut self, sleeps: bool) -> Result<(), MapError> {
        if sleeps != self.sleeps {
            self.map.set(0, u32::from(sleeps), 0)?;
            self.sleeps = sleeps;
        }
        Ok(())
    }
}
