//! The options of pcapng blocks (draft-ietf-opsawg-pcapng, 3.5). A malformed option is skipped, as in
//! other readers; the reader counts it.

use std::borrow::Cow;

/// `opt_endofopt`.
const END: u16 = 0;
/// `opt_comment`.
const COMMENT: u16 = 1;
/// Custom options begin with a Private Enterprise Number: 2988, 2989, 19372, 19373.
const CUSTOM: [u16; 4] = [2988, 2989, 19372, 19373];

/// The byte order of a section or file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// The least significant byte first.
    Little,
    /// The most significant byte first.
    Big,
}

impl ByteOrder {
    /// The byte order of this machine.
    pub const NATIVE: Self = if cfg!(target_endian = "little") {
        Self::Little
    } else {
        Self::Big
    };

    pub(crate) const fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    pub(crate) const fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    pub(crate) const fn u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            Self::Little => u64::from_le_bytes(bytes),
            Self::Big => u64::from_be_bytes(bytes),
        }
    }

    /// The 32 bits at this offset; `None` beyond the end.
    pub(crate) fn u32_at(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(self.u32(*bytes))
    }

    /// The 16 bits at this offset; `None` beyond the end.
    pub(crate) fn u16_at(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(self.u16(*bytes))
    }
}

/// The kinds of blocks whose options differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockKind {
    Section,
    Interface,
    Packet,
    Statistics,
}

impl BlockKind {
    /// The length of an option with this code, if it is fixed.
    const fn length(self, code: u16) -> Option<usize> {
        Some(match (self, code) {
            (Self::Packet, 2 | 6) => 4,
            (Self::Packet, 4 | 5) => 8,
            (Self::Interface, 4 | 7 | 8 | 14 | 16 | 17) => 8,
            (Self::Interface, 5) => 17,
            (Self::Interface, 6) => 6,
            (Self::Interface, 9 | 13) => 1,
            (Self::Interface, 10) => 4,
            (Self::Statistics, 2..=8) => 8,
            _ => return None,
        })
    }

    /// The size in bytes of the integers in an option with this code; 1 if byte order does not
    /// matter.
    const fn integers(self, code: u16) -> usize {
        match (self, code) {
            (Self::Packet, 2 | 6) | (Self::Interface, 10) | (Self::Statistics, 2 | 3) => 4,
            (Self::Packet, 4 | 5)
            | (Self::Interface, 8 | 14 | 16 | 17)
            | (Self::Statistics, 4..=8) => 8,
            _ => 1,
        }
    }

    fn is_malformed(self, option: &Opt<'_>) -> bool {
        self.length(option.code)
            .is_some_and(|length| length != option.value.len())
            || CUSTOM.contains(&option.code) && option.value.len() < 4
    }
}

/// The options of a block in the file's byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options<'a> {
    bytes: &'a [u8],
    order: ByteOrder,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self::new(&[], ByteOrder::NATIVE)
    }
}

/// One option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opt<'a> {
    /// Its code.
    pub code: u16,
    /// Its value, in the file's byte order.
    pub value: &'a [u8],
    order: ByteOrder,
}

impl<'a> Opt<'a> {
    /// As text; invalid UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.value)
    }

    /// As a number of 32 bits; `None` for another length.
    #[must_use]
    pub fn u32(&self) -> Option<u32> {
        Some(self.order.u32(self.value.try_into().ok()?))
    }

    /// As a number of 64 bits; `None` for another length.
    #[must_use]
    pub fn u64(&self) -> Option<u64> {
        Some(self.order.u64(self.value.try_into().ok()?))
    }

    /// As a timestamp of two words, the upper one first.
    pub(crate) fn words(&self) -> Option<u64> {
        let (high, low) = self.value.split_first_chunk::<4>()?;
        let low = low.try_into().ok()?;
        Some(u64::from(self.order.u32(*high)) << 32 | u64::from(self.order.u32(low)))
    }
}

impl<'a> Options<'a> {
    pub(crate) const fn new(bytes: &'a [u8], order: ByteOrder) -> Self {
        Self { bytes, order }
    }

    /// The options one after the other, up to the end or to one with an impossible length.
    #[must_use]
    pub const fn iter(&self) -> OptionIter<'a> {
        OptionIter {
            rest: self.bytes,
            order: self.order,
            torn: false,
        }
    }

    /// The first option of this code.
    #[must_use]
    pub fn get(&self, code: u16) -> Option<Opt<'a>> {
        self.iter().find(|option| option.code == code)
    }

    /// The comments, in their order.
    pub fn comments(&self) -> impl Iterator<Item = Cow<'a, str>> + use<'a> {
        let comments = self.iter().filter(|option| option.code == COMMENT);
        comments.map(|option| option.text())
    }

    /// The number of options with the wrong length for their code, including one that is longer than the
    /// block.
    pub(crate) fn malformed(&self, kind: BlockKind) -> u64 {
        let mut options = self.iter();
        let mut malformed = 0;
        for option in &mut options {
            malformed += u64::from(kind.is_malformed(&option));
        }
        malformed + u64::from(options.torn)
    }
}

impl<'a> IntoIterator for Options<'a> {
    type Item = Opt<'a>;
    type IntoIter = OptionIter<'a>;

    fn into_iter(self) -> OptionIter<'a> {
        self.iter()
    }
}

/// See [`Options::iter`].
#[derive(Debug, Clone)]
pub struct OptionIter<'a> {
    rest: &'a [u8],
    order: ByteOrder,
    torn: bool,
}

impl<'a> Iterator for OptionIter<'a> {
    type Item = Opt<'a>;

    fn next(&mut self) -> Option<Opt<'a>> {
        let rest = std::mem::take(&mut self.rest);
        if rest.is_empty() {
            return None;
        }
        let (Some(code), Some(length)) = (self.order.u16_at(rest, 0), self.order.u16_at(rest, 2))
        else {
            self.torn = true;
            return None;
        };
        if code == END {
            return None;
        }
        let end = 4 + usize::from(length);
        let Some(value) = rest.get(4..end) else {
            self.torn = true;
            return None;
        };
        self.rest = rest.get(end.next_multiple_of(4)..).unwrap_or_default();
        Some(Opt {
            code,
            value,
            order: self.order,
        })
    }
}

/// Owned options, in the byte order of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OptionList(Vec<u8>);

impl OptionList {
    /// Copies the well-formed options of a block.
    pub(crate) fn of(options: Options<'_>, kind: BlockKind) -> Self {
        let mut list = Self::default();
        for option in options {
            if !kind.is_malformed(&option) {
                list.push_converted(&option, kind);
            }
        }
        list
    }

    fn push_converted(&mut self, option: &Opt<'_>, kind: BlockKind) {
        if option.order == ByteOrder::NATIVE {
            return self.push(option.code, option.value);
        }
        let mut value = option.value.to_vec();
        if CUSTOM.contains(&option.code) {
            value[..4].reverse();
        } else {
            for integer in value.chunks_exact_mut(kind.integers(option.code)) {
                integer.reverse();
            }
        }
        self.push(option.code, &value);
    }

    /// Appends an option. A value that is too long for an option is truncated.
    pub fn push(&mut self, code: u16, value: &[u8]) {
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        let value = &value[..usize::from(length)];
        self.0.extend(code.to_ne_bytes());
        self.0.extend(length.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// Appends an option whose value is a timestamp of two words, the upper one first.
    pub(crate) fn push_words(&mut self, code: u16, value: u64) {
        let words = [(value >> 32) as u32, value as u32];
        self.push(code, words.map(u32::to_ne_bytes).as_flattened());
    }

    /// Their bytes, including padding.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Removes the options for which `keep` is false.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Opt<'_>) -> bool) {
        let mut list = Self::default();
        for option in self.options().iter().filter(|option| keep(option)) {
            list.push(option.code, option.value);
        }
        *self = list;
    }

    /// The options for reading.
    #[must_use]
    pub fn options(&self) -> Options<'_> {
        Options::new(&self.0, ByteOrder::NATIVE)
    }

    /// Writes the options to a block, with the end of options if there are any.
    pub(crate) fn write(&self, block: &mut Vec<u8>) {
        if !self.0.is_empty() {
            block.extend(&self.0);
            block.extend([0; 4]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_either_byte_order_are_the_same_and_malformed_ones_are_skipped_and_counted() {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let number = |value: u16| match order {
                ByteOrder::Little => value.to_le_bytes(),
                ByteOrder::Big => value.to_be_bytes(),
            };
            let mut flags = [0, 0, 0, 2];
            if order == ByteOrder::Little {
                flags.reverse();
            }
            let bytes = [
                &number(1)[..],
                &number(2),
                b"hi\0\0",
                // An `epb_flags` of two bytes.
                &number(2),
                &number(2),
                &[1, 0, 0, 0],
                &number(2),
                &number(4),
                &flags,
                // Longer than the rest of the block.
                &number(1),
                &number(9),
                b"torn",
            ]
            .concat();
            let options = Options::new(&bytes, order);
            assert_eq!(Vec::from_iter(options.comments()), ["hi"]);
            assert_eq!(options.malformed(BlockKind::Packet), 2);
            let list = OptionList::of(options, BlockKind::Packet);
            let mut expected = OptionList::default();
            expected.push(1, b"hi");
            expected.push(2, &2_u32.to_ne_bytes());
            assert_eq!(list, expected);
            assert_eq!(list.options().get(2).and_then(|flags| flags.u32()), Some(2));
        }
    }
}
