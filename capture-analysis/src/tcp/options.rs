//! TCP options.

/// The options of a segment, as far as they were captured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// The maximum segment size of its sender.
    pub mss: Option<u16>,
    /// The window scale of its sender.
    pub window_scale: Option<u8>,
    /// Selective acknowledgement is offered.
    pub sack_permitted: bool,
    /// Timestamps: own and echoed.
    pub timestamps: Option<(u32, u32)>,
    /// Selective acknowledgements: their number, and the ranges.
    pub sacks: (u8, [(u32, u32); 4]),
}

/// The options offered in a SYN.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offered {
    /// The maximum segment size of its sender.
    pub mss: Option<u16>,
    /// The window scale of its sender.
    pub window_scale: Option<u8>,
    /// Selective acknowledgement.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: bool,
}

impl From<&Options> for Offered {
    fn from(options: &Options) -> Self {
        Self {
            mss: options.mss,
            window_scale: options.window_scale,
            sack_permitted: options.sack_permitted,
            timestamps: options.timestamps.is_some(),
        }
    }
}

impl Options {
    /// Invalid options are skipped, with all that follow.
    #[must_use]
    pub fn read(mut rest: &[u8]) -> Self {
        let mut options = Self::default();
        while let [kind, behind @ ..] = rest {
            match kind {
                0 => break,
                1 => {
                    rest = behind;
                    continue;
                }
                _ => {}
            }
            let Some(length) = behind.first().map(|length| usize::from(*length)) else {
                break;
            };
            let Some(value) = rest.get(2..length) else {
                break;
            };
            options.take(*kind, value);
            rest = &rest[length..];
        }
        options
    }

    fn take(&mut self, kind: u8, value: &[u8]) {
        let word = |at: usize| {
            value
                .get(at..at + 4)
                .and_then(|four| four.try_into().ok())
                .map(u32::from_be_bytes)
        };
        match (kind, value) {
            (2, [high, low]) => self.mss = Some(u16::from_be_bytes([*high, *low])),
            // RFC 7323, 2.3: more than 14 means 14.
            (3, [shift]) => self.window_scale = Some((*shift).min(14)),
            (4, []) => self.sack_permitted = true,
            (5, ranges) => {
                let ranges = ranges.len() / 8;
                for number in 0..ranges.min(4) {
                    if let (Some(from), Some(to)) = (word(number * 8), word(number * 8 + 4)) {
                        self.sacks.1[usize::from(self.sacks.0)] = (from, to);
                        self.sacks.0 += 1;
                    }
                }
            }
            (8, _) => {
                if let (Some(own), Some(echoed)) = (word(0), word(4)) {
                    self.timestamps = Some((own, echoed));
                }
            }
            _ => {}
        }
    }
}
