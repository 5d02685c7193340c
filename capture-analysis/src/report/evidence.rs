//! The frames that prove a finding: the first, the last and how many; all of them where they were asked for.

use std::cell::Cell;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Packet;

/// A frame of a file.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct FrameReference {
    /// Index into the report's files.
    pub file: u32,
    /// Its number in the file, from 1, as Wireshark counts.
    pub frame: u64,
}

/// The frames that prove a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// The first.
    pub first: FrameReference,
    /// When it was captured, nanoseconds since 1970-01-01 UTC.
    pub first_ns: u64,
    /// The last.
    pub last: FrameReference,
    /// When it was captured, nanoseconds since 1970-01-01 UTC.
    pub last_ns: u64,
    /// Their number.
    pub count: u64,
    /// All of them, if they were to be kept and there was room.
    #[serde(skip)]
    frames: Option<Vec<FrameReference>>,
}

thread_local! {
    /// How many more frames the evidence on this thread may keep.
    static ROOM: Cell<usize> = const { Cell::new(0) };
}

/// While this lives, evidence that is found on its thread keeps every frame, up to so many in all.
pub(crate) struct Keeping(());

impl Keeping {
    pub(crate) fn up_to(frames: usize) -> Self {
        ROOM.set(frames);
        Self(())
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        ROOM.set(0);
    }
}

fn room_for(frames: usize) -> bool {
    let room = ROOM.get();
    let enough = room >= frames;
    ROOM.set(room.saturating_sub(frames));
    enough
}

impl Evidence {
    /// One frame.
    #[must_use]
    pub fn of(packet: &Packet<'_>) -> Self {
        Self::at((packet.file, packet.frame), packet.timestamp)
    }

    /// One frame, by its file and its number.
    #[must_use]
    pub fn at((file, frame): (u32, u64), time: u64) -> Self {
        let reference = FrameReference { file, frame };
        Self {
            first: reference,
            first_ns: time,
            last: reference,
            last_ns: time,
            count: 1,
            frames: (ROOM.get() > 0 && room_for(1)).then(|| vec![reference]),
        }
    }

    /// None yet: what is added comes from this packet on.
    pub(crate) fn from(packet: &Packet<'_>) -> Self {
        let mut evidence = Self::of(packet);
        evidence.count = 0;
        evidence.frames = evidence.frames.map(|_| Vec::new());
        evidence
    }

    /// Another frame.
    pub fn add(&mut self, packet: &Packet<'_>) {
        self.last = FrameReference {
            file: packet.file,
            frame: packet.frame,
        };
        self.last_ns = packet.timestamp;
        if self.count == 0 {
            (self.first, self.first_ns) = (self.last, self.last_ns);
        }
        self.count += 1;
        if let Some(frames) = &mut self.frames {
            if room_for(1) {
                frames.push(self.last);
            } else {
                self.frames = None;
            }
        }
    }

    /// All frames of another one.
    pub fn merge(&mut self, other: Self) {
        self.first = self.first.min(other.first);
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last = self.last.max(other.last);
        self.last_ns = self.last_ns.max(other.last_ns);
        self.count += other.count;
        match (&mut self.frames, other.frames) {
            (Some(frames), Some(more)) => frames.extend(more),
            (frames, _) => *frames = None,
        }
    }

    /// Every frame, in order; `None` where they were not kept, or there were too many.
    #[must_use]
    pub fn frames(&self) -> Option<Vec<FrameReference>> {
        let mut frames = self.frames.clone()?;
        frames.sort_unstable();
        frames.dedup();
        Some(frames)
    }
}

#[cfg(test)]
mod tests {
    use super::{Evidence, Keeping};

    #[test]
    fn frames_are_kept_only_where_they_are_asked_for_and_as_long_as_there_is_room() {
        assert_eq!(Evidence::at((0, 1), 1).frames(), None);
        let keeping = Keeping::up_to(3);
        let mut first = Evidence::at((0, 7), 1);
        first.merge(Evidence::at((0, 5), 1));
        assert_eq!(first.frames().unwrap().len(), 2);
        assert_eq!(first.frames().unwrap()[0].frame, 5);
        first.merge(Evidence::at((0, 9), 1));
        first.merge(Evidence::at((0, 11), 1));
        assert_eq!((first.frames(), first.count), (None, 4));
        drop(keeping);
        assert_eq!(Evidence::at((0, 1), 1).frames(), None);
    }
}
