//! Flows that go on: where a flow has no beginning in a file, its beginning is looked for among the flows of
//! the files before it. So all its segments have one `flow.id`.

use std::{
    collections::HashMap,
    fs,
    io::{self, Read as _, Write as _},
    path::Path,
};

/// Flows that are remembered.
const MOST: usize = 32_768;
/// How long a flow may be silent, nanoseconds: later packets between its ports are another flow.
const PATIENCE: u64 = 600 * 1_000_000_000;
/// How much earlier than the last packet of a file the first one of the next may be, nanoseconds: CPUs
/// deliver their packets a little out of order.
const OVERLAP: u64 = 1_000_000_000;
/// The first line of the file.
const HEADER: &str = "capture-export flows 1\n";
/// A larger file is not ours: a line has at most 71 bytes.
const LONGEST_FILE: u64 = 71 * MOST as u64 + HEADER.len() as u64;

/// A Community ID: `1:` and 28 characters.
type Name = [u8; 30];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    /// The first packet of the flow, nanoseconds since 1970-01-01 UTC.
    start: u64,
    /// The last one so far.
    last: u64,
}

/// The flows of a capture that were live when its latest file ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Continued(HashMap<Name, Known>);

/// Why remembered flows cannot be read or written. Without them flows only have several ids.
#[derive(Debug, thiserror::Error)]
pub enum ContinuedError {
    /// The file cannot be read or written.
    #[error("{path}: {source}; the state directory needs to be writable and to have space left")]
    File {
        /// The file.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// The file is damaged.
    #[error("{path}: line {line} is no flow; remove the file")]
    Damaged {
        /// The file.
        path: String,
        /// The number of the line, from 1.
        line: usize,
    },
}

impl Continued {
    /// When the flow began whose first packet in this file is at `first`: that, if it has its beginning here.
    pub(super) fn start(&self, community_id: &str, first: u64, opened: bool) -> u64 {
        let known = (!opened)
            .then(|| name(community_id))
            .flatten()
            .and_then(|name| self.0.get(&name));
        match known {
            Some(known)
                if first.saturating_add(OVERLAP) >= known.last
                    && first.saturating_sub(known.last) <= PATIENCE =>
            {
                known.start
            }
            _ => first,
        }
    }

    /// Remembers a flow, or forgets it because it is over.
    pub(super) fn note(&mut self, community_id: &str, start: u64, last: u64, over: bool) {
        let Some(name) = name(community_id) else {
            return;
        };
        if over {
            self.0.remove(&name);
            return;
        }
        if self.0.len() >= MOST && !self.0.contains_key(&name) {
            self.forget_older_half();
        }
        self.0.insert(name, Known { start, last });
    }

    fn forget_older_half(&mut self) {
        let mut times: Vec<u64> = self.0.values().map(|known| known.last).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        self.0.retain(|_, known| known.last > median);
    }

    /// All packets of a file were seen: flows that have been silent for long are forgotten.
    pub(super) fn end_of_file(&mut self) {
        let latest = self.0.values().map(|known| known.last).max().unwrap_or(0);
        self.0
            .retain(|_, known| latest.saturating_sub(known.last) <= PATIENCE);
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn load(path: &Path) -> Result<Self, ContinuedError> {
        let mut text = String::new();
        fs::File::open(path)
            .and_then(|file| file.take(LONGEST_FILE).read_to_string(&mut text))
            .map_err(|source| failed(path, source))?;
        let damaged = |line| ContinuedError::Damaged {
            path: path.display().to_string(),
            line,
        };
        let lines = text.strip_prefix(HEADER).ok_or_else(|| damaged(1))?;
        let mut known = HashMap::new();
        for (at, line) in lines.lines().enumerate() {
            let (name, flow) = parse(line).ok_or_else(|| damaged(at + 2))?;
            known.insert(name, flow);
        }
        Ok(Self(known))
    }

    /// Replaces the file (0600). It is not forced to the disk: losing it costs no documents.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), ContinuedError> {
        self.write(path).map_err(|source| failed(path, source))
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let directory = path.parent().unwrap_or_else(|| Path::new("."));
        // Temporary files are made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        let mut out = io::BufWriter::new(&mut file);
        out.write_all(HEADER.as_bytes())?;
        for (name, Known { start, last }) in &self.0 {
            out.write_all(name)?;
            writeln!(out, " {start} {last}")?;
        }
        out.flush()?;
        drop(out);
        file.persist(path)?;
        Ok(())
    }
}

#[cfg(test)]
impl Continued {
    /// A flow, for tests of what keeps them.
    pub(crate) fn remember_for_test(&mut self, start: u64) {
        self.note(&format!("1:{start:028}"), start, start, false);
    }
}

fn failed(path: &Path, source: io::Error) -> ContinuedError {
    ContinuedError::File {
        path: path.display().to_string(),
        source,
    }
}

fn name(community_id: &str) -> Option<Name> {
    community_id.as_bytes().try_into().ok()
}

fn parse(line: &str) -> Option<(Name, Known)> {
    let mut parts = line.split(' ');
    let name = name(parts.next()?)?;
    let known = Known {
        start: parts.next()?.parse().ok()?,
        last: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some((name, known))
}

#[cfg(test)]
mod tests {
    use super::{Continued, MOST, OVERLAP, PATIENCE};

    const ID: &str = "1:LQU9qZlK+B5F3KDmev6m5PMibrg=";

    #[test]
    fn a_flow_without_a_beginning_goes_on_unless_it_was_silent_for_long_or_is_over() {
        let mut flows = Continued::default();
        flows.note(ID, 5, 2 * OVERLAP, false);
        assert_eq!(flows.start(ID, 2 * OVERLAP + 1, false), 5);
        assert_eq!(flows.start(ID, 2 * OVERLAP + 1, true), 2 * OVERLAP + 1);
        assert_eq!(flows.start(ID, OVERLAP, false), 5);
        let late = 2 * OVERLAP + PATIENCE + 1;
        assert_eq!(flows.start(ID, late, false), late);
        assert_eq!(flows.start(ID, 7, false), 7, "an earlier file");
        flows.note(ID, 5, 2 * OVERLAP, true);
        assert_eq!(flows, Continued::default());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_latest_stay() {
        let mut flows = Continued::default();
        for number in 0..2 * MOST as u64 {
            flows.note(&format!("1:{number:028}"), number, number, false);
        }
        assert!(flows.0.len() <= MOST);
        let latest = 2 * MOST as u64 - 1;
        let id = format!("1:{latest:028}");
        assert_eq!(flows.start(&id, latest + 1, false), latest);
    }

    #[test]
    fn remembered_flows_are_read_back_and_a_damaged_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("flows");
        let mut flows = Continued::default();
        flows.note(ID, 5, 6, false);
        flows.save(&path).unwrap();
        assert_eq!(Continued::load(&path).unwrap(), flows);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace(" 6", " x")).unwrap();
        let error = Continued::load(&path).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
        std::fs::write(&path, "something else").unwrap();
        assert!(Continued::load(&path).is_err());
    }
}
