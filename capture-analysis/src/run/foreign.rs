//! Identifies files that are not capture files.

/// The kind of a file that is not a capture file.
pub(super) fn looks_like(bytes: &[u8]) -> &'static str {
    const KNOWN: [(&[u8], &str); 12] = [
        (b"\x7fELF", "a program"),
        (b"PK\x03\x04", "a zip archive; unpack it first"),
        (b"BZh", "bzip2; unpack it first"),
        (b"\xfd7zXZ", "xz; unpack it first"),
        (b"\x04\x22\x4d\x18", "lz4; unpack it first"),
        (b"7z\xbc\xaf", "a 7-Zip archive; unpack it first"),
        (b"snoop\0", "a snoop capture; editcap converts it"),
        (b"%PDF", "a PDF document"),
        (b"\x89PNG", "a picture"),
        (b"<!DOCTYPE", "an HTML page"),
        (b"{", "JSON"),
        (b"MZ", "a Windows program"),
    ];
    if let Some((_, name)) = KNOWN.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return name;
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return "a tar archive; unpack it first";
    }
    let start = &bytes[..bytes.len().min(512)];
    let characters = match std::str::from_utf8(start) {
        Ok(text) => text,
        // The last character may be cut off.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => "\0",
    };
    let printable = |character: char| !character.is_control() || "\t\r\n".contains(character);
    if !characters.is_empty() && characters.chars().all(printable) {
        "text"
    } else if start.iter().all(|byte| *byte == 0) {
        "zeros"
    } else if start.len() < 24 {
        "the beginning of a file, too short for a header"
    } else {
        "binary data of no known kind"
    }
}

#[cfg(test)]
mod tests {
    use super::looks_like;

    #[test]
    fn a_file_that_is_none_is_told_by_what_it_looks_like() {
        for (bytes, word) in [
            (
                &b"PK\x03\x04...................................."[..],
                "zip",
            ),
            (b"Dear reader, this is a letter and no capture.", "text"),
            (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\0\0", "program"),
            (&[0; 100], "zeros"),
            (b"\xd4\xc3", "too short"),
        ] {
            assert!(looks_like(bytes).contains(word), "{}", looks_like(bytes));
        }
    }
}
