//! One direction of a TCP stream, reordered as far as analysers need its beginning or its messages.

use crate::{decode::Tcp, tcp::sequence::ahead};

/// Bytes that may wait for earlier ones.
const MOST_WAITING: usize = 64 << 10;

#[derive(Default)]
pub(crate) struct Stream {
    next: Option<u32>,
    waiting: Vec<(u32, Vec<u8>)>,
    waiting_bytes: usize,
    /// Bytes are missing: the rest cannot be read.
    broken: bool,
}

impl Stream {
    /// Passes on the bytes that are in order.
    pub(crate) fn segment(&mut self, tcp: &Tcp<'_>, mut take: impl FnMut(&[u8])) {
        if tcp.has(Tcp::SYN) {
            *self = Self {
                next: Some(tcp.sequence.wrapping_add(1)),
                ..Self::default()
            };
            return;
        }
        if self.broken || tcp.payload.is_empty() {
            return;
        }
        let next = *self.next.get_or_insert(tcp.sequence);
        let late = ahead(tcp.sequence, next);
        if late > 0 {
            self.wait(tcp.sequence, tcp.payload);
            return;
        }
        self.take(tcp.sequence, tcp.payload, &mut take);
        // Truncated by the snap length: the rest of the segment will never come.
        if tcp
            .length
            .is_some_and(|length| length as usize > tcp.payload.len())
        {
            self.broken = true;
            return;
        }
        while let Some(at) = self.ready() {
            let (start, bytes) = self.waiting.swap_remove(at);
            self.waiting_bytes -= bytes.len();
            self.take(start, &bytes, &mut take);
        }
    }

    fn ready(&self) -> Option<usize> {
        let next = self.next?;
        self.waiting
            .iter()
            .position(|(start, _)| ahead(*start, next) <= 0)
    }

    fn take(&mut self, start: u32, bytes: &[u8], take: &mut impl FnMut(&[u8])) {
        let next = self.next.unwrap_or(start);
        let known = next.wrapping_sub(start) as usize;
        if let Some(new) = bytes.get(known..)
            && !new.is_empty()
        {
            self.next = Some(next.wrapping_add(u32::try_from(new.len()).unwrap_or(0)));
            take(new);
        }
    }

    fn wait(&mut self, start: u32, bytes: &[u8]) {
        if self.waiting_bytes + bytes.len() > MOST_WAITING {
            self.broken = true;
            self.waiting = Vec::new();
            self.waiting_bytes = 0;
            return;
        }
        self.waiting_bytes += bytes.len();
        self.waiting.push((start, bytes.to_vec()));
    }
}

#[cfg(test)]
mod tests {
    use super::Stream;
    use crate::decode::Tcp;

    fn segment(sequence: u32, payload: &[u8]) -> Tcp<'_> {
        Tcp {
            source: 1,
            destination: 2,
            sequence,
            acknowledgement: 0,
            flags: Tcp::ACK,
            window: 1,
            options: &[],
            payload,
            length: Some(payload.len() as u32),
        }
    }

    #[test]
    fn segments_out_of_order_repeated_and_overlapping_are_one_stream_also_where_numbers_wrap() {
        let mut stream = Stream::default();
        let mut read = Vec::new();
        let start = u32::MAX - 1;
        for (at, bytes) in [
            (0, &b"abc"[..]),
            (6, b"ghi"),
            (3, b"def"),
            (3, b"def"),
            (7, b"hijk"),
        ] {
            let tcp = segment(start.wrapping_add(at), bytes);
            stream.segment(&tcp, |bytes| read.extend_from_slice(bytes));
        }
        assert_eq!(read, b"abcdefghijk");
    }

    #[test]
    fn nothing_is_read_behind_bytes_that_were_cut() {
        let mut stream = Stream::default();
        let mut read = Vec::new();
        let cut = Tcp {
            length: Some(100),
            ..segment(0, b"abc")
        };
        stream.segment(&cut, |bytes| read.extend_from_slice(bytes));
        stream.segment(&segment(100, b"xyz"), |bytes| read.extend_from_slice(bytes));
        assert_eq!(read, b"abc");
    }
}
