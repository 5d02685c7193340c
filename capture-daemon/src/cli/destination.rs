//! The destination that `-w` names: a directory, a file, or stdout.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use capture_file::{Codec, Kind};
use capture_types::{Compression, Format};

/// The destination of packets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// Files with generated names in a directory.
    Directory(PathBuf),
    /// A file, and its sequence when it rotates.
    File {
        directory: PathBuf,
        /// The name before the extensions.
        stem: String,
        kind: Kind,
    },
    /// Standard output.
    Stdout,
}

impl Destination {
    /// `-` is stdout. An existing directory, a path with `/` at its end and a name without an extension are
    /// directories; what ends in .pcapng, .pcap or .txt, and optionally .gz or .zst, is a file.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let text = path.to_string_lossy();
        if text == "-" {
            return Ok(Self::Stdout);
        }
        if path.is_dir() || text.ends_with('/') {
            return Ok(Self::Directory(path.to_owned()));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let plain = name
            .strip_suffix(".gz")
            .or_else(|| name.strip_suffix(".zst"));
        let plain = plain.unwrap_or(&name);
        let stem = [".pcapng", ".pcap", ".txt"]
            .into_iter()
            .find_map(|extension| plain.strip_suffix(extension));
        match stem {
            Some(stem) if !stem.is_empty() => {
                if path.exists() && !path.is_file() {
                    bail!("--write {text} is not a file: name another one, or - for stdout");
                }
                let parent = path.parent().filter(|parent| *parent != Path::new(""));
                Ok(Self::File {
                    directory: parent.unwrap_or(Path::new(".")).to_owned(),
                    stem: stem.to_owned(),
                    kind: Kind::of(Path::new(name.as_ref())),
                })
            }
            _ if path.exists() => bail!(
                "--write {text} is neither a directory nor a file with a name in .pcapng or .pcap; - is \
                 stdout"
            ),
            _ if name.contains('.') => bail!(
                "--write {text}: a file ends in .pcapng or .pcap, optionally followed by .gz or .zst; \
                     {text}/ is a \
                 directory"
            ),
            _ => Ok(Self::Directory(path.to_owned())),
        }
    }
}

/// The format; it must agree with the file's name.
pub(super) fn format(asked: Option<Format>, kind: Kind) -> Result<Format> {
    match asked {
        Some(asked) if asked != kind.format => bail!(
            "--format {asked} and --write with a name in .{} do not fit: leave --format out",
            match kind.format {
                Format::Text => "txt".to_owned(),
                other => other.to_string(),
            }
        ),
        _ => Ok(kind.format),
    }
}

/// The compression; it must agree with the file's name.
pub(super) fn compression(asked: Option<Compression>, kind: Kind) -> Result<Compression> {
    let by_name = match kind.codec {
        Codec::Plain => Compression::None,
        Codec::Gzip => Compression::Gzip(1),
        Codec::Zstd => Compression::Zstd(1),
    };
    match (asked, by_name) {
        (None, by_name) => Ok(by_name),
        (Some(asked), by_name)
            if std::mem::discriminant(&asked) == std::mem::discriminant(&by_name) =>
        {
            Ok(asked)
        }
        _ => bail!(
            "--compress and the name of --write do not fit: a compressed file ends in .gz or .zst, a plain \
             one in neither"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_directory_a_file_or_stdout() {
        let of = |path: &str| Destination::of(Path::new(path));
        assert_eq!(of("-").expect("stdout"), Destination::Stdout);
        for directory in ["/tmp", "new/", "new", "/var/new.d/"] {
            let found = of(directory).expect("a directory");
            assert_eq!(found, Destination::Directory(PathBuf::from(directory)));
        }
        for (path, parent, stem, format, codec) in [
            ("web.pcap", ".", "web", Format::Pcap, Codec::Plain),
            (
                "/x/a b.pcapng.zst",
                "/x",
                "a b",
                Format::Pcapng,
                Codec::Zstd,
            ),
            ("d/w.1.pcap.gz", "d", "w.1", Format::Pcap, Codec::Gzip),
            ("l.txt", ".", "l", Format::Text, Codec::Plain),
        ] {
            let file = Destination::File {
                directory: PathBuf::from(parent),
                stem: stem.to_owned(),
                kind: Kind { format, codec },
            };
            assert_eq!(of(path).expect("a file"), file, "{path}");
        }
        for wrong in ["web.cap", ".pcap", "/dev/null", "x.gz", "/dev/.."] {
            let found = of(wrong);
            assert!(found.is_err() || wrong == "/dev/..", "{wrong}: {found:?}");
        }
    }

    #[test]
    fn options_that_contradict_the_name_are_refused() {
        let kind = Kind::of(Path::new("x.pcap.zst"));
        assert_eq!(format(None, kind).expect("by name"), Format::Pcap);
        assert!(format(Some(Format::Pcapng), kind).is_err());
        let level = Some(Compression::Zstd(7));
        assert_eq!(
            compression(level, kind).expect("fits"),
            Compression::Zstd(7)
        );
        assert!(compression(Some(Compression::Gzip(1)), kind).is_err());
        assert!(compression(Some(Compression::None), kind).is_err());
        let plain = Kind::of(Path::new("x.pcapng"));
        assert!(compression(Some(Compression::Zstd(1)), plain).is_err());
    }
}
