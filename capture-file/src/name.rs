//! The names of capture files: `<capture>-<YYYYMMDD-HHMMSS>-<sequence>.<format>[.<codec>]`, in UTC,
//! with the suffix `.part` while the file is being written.

use std::path::Path;

use capture_types::{CaptureName, Compression, Format, time};

/// The suffix of a file that is still being written.
pub const PART: &str = ".part";

/// The kind of a file, from its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The format.
    pub format: Format,
    /// The compression.
    pub codec: Codec,
}

/// A compression, whatever its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// None.
    Plain,
    /// gzip: members, one after the other.
    Gzip,
    /// zstd: frames, one after the other.
    Zstd,
}

impl Kind {
    /// Plain pcapng.
    pub const PCAPNG: Self = Self {
        format: Format::Pcapng,
        codec: Codec::Plain,
    };

    /// The kind by the name: `.pcap` is classic pcap, `.txt` lines, everything else pcapng; followed by
    /// `.gz` or `.zst` for compression, and `.part` if the file is being written.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let name = path.to_string_lossy();
        let name = name.strip_suffix(PART).unwrap_or(&name);
        let (name, codec) = split_codec(name);
        let format = [Format::Pcap, Format::Text]
            .into_iter()
            .find(|format| split_extension(name, *format).is_some())
            .unwrap_or(Format::Pcapng);
        Self { format, codec }
    }
}

/// A name without the suffix of a codec, and the codec.
fn split_codec(name: &str) -> (&str, Codec) {
    [(".gz", Codec::Gzip), (".zst", Codec::Zstd)]
        .into_iter()
        .find_map(|(suffix, codec)| Some((name.strip_suffix(suffix)?, codec)))
        .unwrap_or((name, Codec::Plain))
}

/// A name without the extension of a format, if it has that.
fn split_extension(name: &str, format: Format) -> Option<&str> {
    name.strip_suffix(extension(format))?.strip_suffix('.')
}

/// The name of a file created at `opened` (UTC nanoseconds) with number `sequence`.
pub fn file_name(
    capture: &CaptureName,
    opened: u64,
    sequence: u64,
    format: Format,
    compression: Compression,
) -> String {
    format!(
        "{capture}-{}-{sequence:06}.{}{}",
        time::stamp(opened),
        extension(format),
        suffix(compression)
    )
}

/// The naming scheme of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Naming {
    /// `<capture>-<YYYYMMDD-HHMMSS>-<sequence>.<format>[.<codec>]`.
    Stamped(CaptureName),
    /// `<stem>.<format>[.<codec>]`, and with `-<sequence>` after the stem from the second file on.
    Named(String),
}

impl Naming {
    /// The name of a file created at `opened` (UTC nanoseconds) with number `sequence`.
    #[must_use]
    pub fn file_name(
        &self,
        opened: u64,
        sequence: u64,
        format: Format,
        compression: Compression,
    ) -> String {
        let stem = match self {
            Self::Stamped(capture) => {
                return file_name(capture, opened, sequence, format, compression);
            }
            Self::Named(stem) => stem,
        };
        let number = match sequence {
            1 => String::new(),
            later => format!("-{later:06}"),
        };
        format!(
            "{stem}{number}.{}{}",
            extension(format),
            suffix(compression)
        )
    }
}

const fn extension(format: Format) -> &'static str {
    match format {
        Format::Pcapng => "pcapng",
        Format::Pcap => "pcap",
        Format::Text => "txt",
    }
}

/// The codec's suffix for file names.
pub const fn suffix(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "",
        Compression::Gzip(_) => ".gz",
        Compression::Zstd(_) => ".zst",
    }
}

/// A parsed file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// The number of the file in its capture.
    pub sequence: u64,
    /// Whether it ends in `.part`.
    pub part: bool,
}

/// Parses the name of a file of this capture; `None` for other names.
pub fn parse(capture: &CaptureName, file: &str) -> Option<Parsed> {
    let rest = file.strip_prefix(capture.as_str())?.strip_prefix('-')?;
    let (rest, part) = match rest.strip_suffix(PART) {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let (rest, _) = split_codec(rest);
    let rest = [Format::Pcapng, Format::Pcap, Format::Text]
        .into_iter()
        .find_map(|format| split_extension(rest, format))?;
    let mut fields = rest.split('-');
    let (date, time, sequence) = (fields.next()?, fields.next()?, fields.next()?);
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if fields.next().is_some()
        || date.len() != 8
        || time.len() != 6
        || sequence.len() < 6
        || ![date, time, sequence].into_iter().all(digits)
    {
        return None;
    }
    let sequence = sequence.parse().ok()?;
    Some(Parsed { sequence, part })
}

/// The name of a capture file, for programs that read files of captures from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName {
    /// The number of the file in its capture.
    pub sequence: u64,
    /// Whether it is being written, or was when its recorder died.
    pub part: bool,
    /// The name when it is finished.
    pub finished: String,
}

impl FileName {
    /// Parses the name of a file of this capture; `None` for other names.
    #[must_use]
    pub fn parse(capture: &CaptureName, file: &str) -> Option<Self> {
        let Parsed { sequence, part } = parse(capture, file)?;
        let finished = file.strip_suffix(PART).unwrap_or(file).to_owned();
        Some(Self {
            sequence,
            part,
            finished,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Codec, Kind, Naming, Parsed, file_name, parse};
    use capture_types::{CaptureName, Compression, Format};

    #[test]
    fn a_name_says_format_and_compression() {
        for (name, format, codec) in [
            ("x.pcap.zst", Format::Pcap, Codec::Zstd),
            ("x.txt.gz.part", Format::Text, Codec::Gzip),
            ("x.pcapng", Format::Pcapng, Codec::Plain),
            ("x", Format::Pcapng, Codec::Plain),
        ] {
            assert_eq!(Kind::of(name.as_ref()), Kind { format, codec }, "{name}");
        }
    }

    #[test]
    fn a_named_file_has_its_name_and_the_next_ones_a_number() {
        let naming = Naming::Named("web".to_owned());
        let name = |sequence| naming.file_name(0, sequence, Format::Pcap, Compression::Zstd(3));
        assert_eq!(name(1), "web.pcap.zst");
        assert_eq!(name(2), "web-000002.pcap.zst");
    }

    #[test]
    fn a_capture_knows_its_own_files_and_no_others() {
        let name = CaptureName::new("web").expect("valid");
        let file = file_name(&name, 0, 7, Format::Pcapng, Compression::Gzip(6));
        assert_eq!(file, "web-19700101-000000-000007.pcapng.gz");
        let parsed = |part| Some(Parsed { sequence: 7, part });
        assert_eq!(parse(&name, &file), parsed(false));
        assert_eq!(parse(&name, &format!("{file}.part")), parsed(true));
        for compression in [Compression::None, Compression::Zstd(3)] {
            for format in [Format::Pcap, Format::Pcapng, Format::Text] {
                let file = file_name(&name, 1 << 60, 12_345_678, format, compression);
                assert_eq!(
                    parse(&name, &file).map(|parsed| parsed.sequence),
                    Some(12_345_678)
                );
            }
        }
        for other in [
            "web-1-19700101-000000-000007.pcapng",
            "web-19700101-000000-19700101-000000-000007.pcapng",
            "web-19700101-000000-000007.csv",
            "web-19700101-000000-7.pcapng",
            "webs-19700101-000000-000007.pcapng",
            "web-19700101-000000-00000x.pcapng",
            "web.manifest.jsonl",
        ] {
            assert_eq!(parse(&name, other), None, "{other}");
        }
    }
}
