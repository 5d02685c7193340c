//! The fast path of packets: into the open block of an output.

use std::marker::PhantomData;

use super::{
    super::{
        block::Span,
        copying::Copying,
        encode::Encoding,
        output::{FileOutput, UNDESCRIBED},
        packet::{InterfaceId, Packet},
    },
    Recorder,
};

/// Writes packets into the open block of an output as long as there is nothing to decide: nothing to begin,
/// to describe, to end or to refuse. It keeps the state for that at hand, until [`BlockWriter::settle`] is
/// called.
#[must_use = "what it has written counts only when it is settled"]
pub struct BlockWriter<'a, E> {
    encoding: PhantomData<E>,
    copying: Copying,
    /// Packets from this time on are not written.
    boundary: u64,
    /// The number in the file of each of the capture's interfaces, or [`UNDESCRIBED`].
    numbers: &'a [u32],
    /// Packets in the block by interface.
    counts: &'a mut [u64],
    /// Free bytes of the block.
    room: &'a mut [u8],
    /// Packets that may be written, now and at the start.
    budget: u64,
    granted: u64,
    first: u64,
    last: u64,
    accounts: Accounts<'a>,
}

/// The counters to settle.
struct Accounts<'a> {
    room: &'a mut usize,
    length: &'a mut usize,
    span: &'a mut Span,
    quota: &'a mut u64,
    left: &'a mut u64,
}

impl Recorder {
    /// The writer into the open block of the output for an interface; `None` when no block is open, or when
    /// the files are in another format.
    #[inline(always)]
    pub fn block_writer<E: Encoding>(
        &mut self,
        interface: InterfaceId,
    ) -> Option<BlockWriter<'_, E>> {
        if self.format != E::FORMAT {
            return None;
        }
        let interface = self.interfaces.get(interface.0 as usize)?;
        let FileOutput {
            block,
            room,
            boundary,
            quota,
            numbers,
            ..
        } = self.outputs.get_mut(interface.output)?;
        let block = block.as_deref_mut()?;
        let (free, length) = block.buffer.open();
        // The last packet of a file ends it, which is a decision.
        let granted = self.left.min(quota.saturating_sub(1));
        let Span { first, last, .. } = block.span;
        Some(BlockWriter {
            encoding: PhantomData,
            copying: self.copying,
            boundary: *boundary,
            numbers,
            counts: &mut block.counts,
            room: free.get_mut(..*room)?,
            budget: granted,
            granted,
            first,
            last,
            accounts: Accounts {
                room,
                length,
                span: &mut block.span,
                quota,
                left: &mut self.left,
            },
        })
    }
}

impl<E: Encoding> BlockWriter<'_, E> {
    /// Writes a packet; `false` if the packet needs the slow path.
    #[inline(always)]
    pub fn put(&mut self, packet: &Packet<'_>) -> bool {
        let id = packet.interface.0 as usize;
        let (Some(&number), Some(count)) = (self.numbers.get(id), self.counts.get_mut(id)) else {
            return false;
        };
        if packet.timestamp >= self.boundary || self.budget == 0 || number == UNDESCRIBED {
            return false;
        }
        let length = E::packet_length(packet.bytes.len());
        let Some(file) = self.room.split_off_mut(..length) else {
            return false;
        };
        E::packet(number, packet, file, self.copying);
        *count += 1;
        self.budget -= 1;
        self.first = self.first.min(packet.timestamp);
        self.last = self.last.max(packet.timestamp);
        true
    }

    /// Adds what was written to the counters, and returns the number of packets.
    ///
    /// Not done by `Drop`: the state that it needs in case of a panic would have to be kept in memory,
    /// packet by packet.
    #[inline]
    pub fn settle(self) -> u64 {
        let packets = self.granted - self.budget;
        let Accounts {
            room,
            length,
            span,
            quota,
            left,
        } = self.accounts;
        *length += *room - self.room.len();
        *room = self.room.len();
        *span = Span {
            packets: span.packets + packets,
            first: self.first,
            last: self.last,
        };
        *quota -= packets;
        *left -= packets;
        packets
    }
}
