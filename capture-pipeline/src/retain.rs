//! Retention: which files to remove. The oldest are removed first, and no more than necessary.

use rustix::fs::StatVfs;

use capture_types::{MinFree, Retention};

/// The input of retention decisions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Bytes in files that are being written.
    pub(crate) open: u64,
    /// The file system's size and the space left for this user, in bytes.
    pub(crate) size: u64,
    pub(crate) free: u64,
}

impl Usage {
    /// `coming`: bytes on their way to the disk, which count as used.
    pub(crate) fn new(open: u64, coming: u64, space: &StatVfs) -> Self {
        Self {
            open,
            size: space.f_blocks.saturating_mul(space.f_frsize),
            free: space
                .f_bavail
                .saturating_mul(space.f_frsize)
                .saturating_sub(coming),
        }
    }
}

/// How many finished files must be removed, the oldest first. `files` are their sizes in bytes,
/// oldest first.
pub(crate) fn surplus(retention: &Retention, usage: Usage, files: &[u64]) -> usize {
    let mut count = files.len();
    let mut bytes = files.iter().sum::<u64>().saturating_add(usage.open);
    let mut missing = missing(retention, usage);
    let mut surplus = 0;
    for size in files {
        let too_many = retention
            .max_files
            .is_some_and(|most| count as u64 > u64::from(most));
        let too_large = retention.max_bytes.is_some_and(|most| bytes > most);
        if !too_many && !too_large && missing == 0 {
            break;
        }
        surplus += 1;
        count -= 1;
        bytes -= size;
        missing = missing.saturating_sub(*size);
    }
    surplus
}

/// Bytes that the file system lacks to the free space it must keep.
pub(crate) fn missing(retention: &Retention, usage: Usage) -> u64 {
    let wanted = match retention.min_free {
        None => 0,
        Some(MinFree::Bytes(bytes)) => bytes,
        Some(MinFree::Percent(percent)) => (usage.size as f64 * percent / 100.0) as u64,
    };
    wanted.saturating_sub(usage.free)
}

/// The usage as a capture sees it that has stopped writing for lack of space: it needs some room beyond the
/// free space to keep, so that it does not stop again at once. It removes its own files for that too.
pub(crate) fn with_room(usage: Usage) -> Usage {
    const ROOM: u64 = 40 << 20;
    let room = ROOM.min(usage.size / 20);
    Usage {
        free: usage.free.saturating_sub(room),
        ..usage
    }
}

/// Whether a capture that has stopped writing for lack of space can resume.
pub(crate) fn has_room(retention: &Retention, usage: Usage) -> bool {
    let usage = with_room(usage);
    usage.free > 0 && missing(retention, usage) == 0
}

#[cfg(test)]
mod tests {
    use super::{Usage, has_room, missing, surplus};
    use capture_types::{MinFree, Retention};

    const USAGE: Usage = Usage {
        open: 5,
        size: 1000,
        free: 100,
    };

    #[test]
    fn nothing_goes_without_a_reason() {
        assert_eq!(surplus(&Retention::default(), USAGE, &[10; 100]), 0);
    }

    #[test]
    fn no_more_files_go_than_are_too_many() {
        let retention = Retention {
            max_files: Some(3),
            ..Retention::default()
        };
        assert_eq!(surplus(&retention, USAGE, &[10; 3]), 0);
        assert_eq!(surplus(&retention, USAGE, &[10; 5]), 2);
    }

    #[test]
    fn no_more_bytes_go_than_are_too_many_with_the_open_file_counted() {
        let retention = |most| Retention {
            max_bytes: Some(most),
            ..Retention::default()
        };
        assert_eq!(surplus(&retention(35), USAGE, &[10; 3]), 0);
        assert_eq!(surplus(&retention(34), USAGE, &[10; 3]), 1);
        assert_eq!(surplus(&retention(25), USAGE, &[10; 3]), 1);
        assert_eq!(surplus(&retention(1), USAGE, &[10; 3]), 3);
    }

    #[test]
    fn no_more_goes_than_the_file_system_lacks() {
        let retention = |min_free| Retention {
            min_free: Some(min_free),
            ..Retention::default()
        };
        assert_eq!(surplus(&retention(MinFree::Bytes(100)), USAGE, &[10; 9]), 0);
        assert_eq!(surplus(&retention(MinFree::Bytes(101)), USAGE, &[10; 9]), 1);
        assert_eq!(surplus(&retention(MinFree::Bytes(111)), USAGE, &[10; 9]), 2);
        assert_eq!(
            surplus(&retention(MinFree::Percent(10.0)), USAGE, &[10; 9]),
            0
        );
        assert_eq!(
            surplus(&retention(MinFree::Percent(13.0)), USAGE, &[10; 9]),
            3
        );
        assert_eq!(missing(&retention(MinFree::Percent(50.0)), USAGE), 400);
    }

    #[test]
    fn a_capture_goes_on_with_some_room_beside_what_stays_free() {
        let free = |free| Usage { free, ..USAGE };
        let none = Retention::default();
        assert!(!has_room(&none, free(50)));
        assert!(has_room(&none, free(51)));
        let retention = Retention {
            min_free: Some(MinFree::Bytes(100)),
            ..Retention::default()
        };
        assert!(!has_room(&retention, free(149)));
        assert!(has_room(&retention, free(150)));
    }
}
