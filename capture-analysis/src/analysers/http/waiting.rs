//! Records of requests that wait for their response, within a bound.

use crate::{
    records::{Origin, Tap},
    report::HttpRow,
};

/// Bytes of requests that are kept until their response. Beyond it a request is handed on at once, without
/// its response.
const MOST_BYTES: usize = 4 << 20;

/// A request and its response, or one of them.
pub(super) struct Record {
    pub(super) origin: Origin,
    /// Its number in the connection.
    pub(super) number: u64,
    pub(super) row: HttpRow,
    /// Bytes that count against the bound.
    held: usize,
}

impl Record {
    pub(super) const fn new(origin: Origin, number: u64, row: HttpRow) -> Self {
        Self {
            origin,
            number,
            row,
            held: 0,
        }
    }
}

/// Hands on records, and knows how much is kept until then.
pub(super) struct Records {
    tap: Tap,
    held: usize,
}

impl Records {
    pub(super) const fn to(tap: Tap) -> Self {
        Self { tap, held: 0 }
    }

    /// Hands on a record.
    pub(super) fn give(&mut self, record: &Record) {
        self.held -= record.held;
        self.tap
            .give(|records| records.http(&record.origin, record.number, &record.row));
    }

    /// Returns a record to keep until its response. If there is no room it is handed on at once.
    pub(super) fn hold(&mut self, mut record: Record) -> Option<Box<Record>> {
        let texts = [&record.row.method, &record.row.host, &record.row.target];
        let texts = texts.into_iter().flatten().map(String::len);
        let bytes = size_of::<Record>() + texts.sum::<usize>();
        if self.held + bytes > MOST_BYTES {
            self.give(&record);
            return None;
        }
        record.held = bytes;
        self.held += bytes;
        Some(Box::new(record))
    }
}
