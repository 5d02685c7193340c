//! JSON straight into a buffer, as documents are many: no tree of values, no copy of a text.

use std::{io::Write as _, net::IpAddr};

use super::time::Clock;

/// Bytes of a text in a document; the rest is cut off. Search clusters index the first 1,024 characters of
/// it, and refuse terms of more than 32,766 bytes.
const LONGEST_TEXT: usize = 8 << 10;

/// An object that is being written.
pub(super) struct Object<'b> {
    out: &'b mut Vec<u8>,
    clock: &'b mut Clock,
    first: bool,
}

impl<'b> Object<'b> {
    pub(super) fn begin(out: &'b mut Vec<u8>, clock: &'b mut Clock) -> Self {
        out.push(b'{');
        Self {
            out,
            clock,
            first: true,
        }
    }

    pub(super) fn end(self) {
        self.out.push(b'}');
    }

    /// Ends the object with members that were written before, which begin with a comma.
    pub(super) fn end_with(self, members: &[u8]) {
        let members = if self.first {
            members.strip_prefix(b",").unwrap_or(members)
        } else {
            members
        };
        self.out.extend_from_slice(members);
        self.out.push(b'}');
    }

    /// The name of the next member. Names are our own, and need no escapes.
    fn key(&mut self, key: &'static str) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    pub(super) fn text(&mut self, key: &'static str, text: &str) {
        self.key(key);
        write_text(self.out, text);
    }

    /// A text, unless it is absent or empty.
    pub(super) fn some_text(&mut self, key: &'static str, text: Option<&str>) {
        if let Some(text) = text
            && !text.is_empty()
        {
            self.text(key, text);
        }
    }

    /// One of our own words, which needs no escapes.
    pub(super) fn word(&mut self, key: &'static str, word: &'static str) {
        self.key(key);
        self.out.push(b'"');
        self.out.extend_from_slice(word.as_bytes());
        self.out.push(b'"');
    }

    /// A list of our own words.
    pub(super) fn words(&mut self, key: &'static str, words: &[&'static str]) {
        self.list(key, words.iter().copied());
    }

    /// A list of texts.
    pub(super) fn list<'t>(&mut self, key: &'static str, texts: impl IntoIterator<Item = &'t str>) {
        self.key(key);
        self.out.push(b'[');
        for (at, text) in texts.into_iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            write_text(self.out, text);
        }
        self.out.push(b']');
    }

    pub(super) fn number(&mut self, key: &'static str, number: u64) {
        self.key(key);
        // Writing to a `Vec` does not fail.
        let _ = serde_json::to_writer(&mut *self.out, &number);
    }

    pub(super) fn some_number(&mut self, key: &'static str, number: Option<u64>) {
        if let Some(number) = number {
            self.number(key, number);
        }
    }

    /// A number that the index keeps as a keyword.
    pub(super) fn number_as_text(&mut self, key: &'static str, number: u64) {
        self.key(key);
        self.out.push(b'"');
        let _ = serde_json::to_writer(&mut *self.out, &number);
        self.out.push(b'"');
    }

    /// One of our own words, in lower case.
    pub(super) fn lower_case(&mut self, key: &'static str, word: &'static str) {
        self.key(key);
        self.out.push(b'"');
        self.out
            .extend(word.bytes().map(|byte| byte.to_ascii_lowercase()));
        self.out.push(b'"');
    }

    pub(super) fn flag(&mut self, key: &'static str, flag: bool) {
        self.key(key);
        self.out
            .extend_from_slice(if flag { b"true" } else { b"false" });
    }

    pub(super) fn address(&mut self, key: &'static str, address: IpAddr) {
        self.key(key);
        self.out.push(b'"');
        match address {
            IpAddr::V4(address) => {
                for (at, part) in address.octets().into_iter().enumerate() {
                    if at > 0 {
                        self.out.push(b'.');
                    }
                    let _ = serde_json::to_writer(&mut *self.out, &part);
                }
            }
            IpAddr::V6(address) => {
                let _ = write!(self.out, "{address}");
            }
        }
        self.out.push(b'"');
    }

    /// An Ethernet address, in the form that ECS asks for.
    pub(super) fn mac(&mut self, key: &'static str, address: [u8; 6]) {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        self.key(key);
        self.out.push(b'"');
        for (at, byte) in address.into_iter().enumerate() {
            if at > 0 {
                self.out.push(b'-');
            }
            self.out.push(DIGITS[usize::from(byte >> 4)]);
            self.out.push(DIGITS[usize::from(byte & 15)]);
        }
        self.out.push(b'"');
    }

    /// A time in nanoseconds since 1970-01-01 UTC.
    pub(super) fn time(&mut self, key: &'static str, time: u64) {
        self.key(key);
        self.out.push(b'"');
        self.clock.write(self.out, time);
        self.out.push(b'"');
    }

    /// An object in this one.
    pub(super) fn object(&mut self, key: &'static str, write: impl FnOnce(&mut Object<'_>)) {
        self.key(key);
        let mut inner = Object::begin(self.out, self.clock);
        write(&mut inner);
        inner.end();
    }
}

/// A text with its escapes, cut at a character if it is too long.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(LONGEST_TEXT)];
    // Writing to a `Vec` does not fail.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Clock, Object};

    fn written(write: impl FnOnce(&mut Object<'_>)) -> Value {
        let (mut out, mut clock) = (Vec::new(), Clock::default());
        let mut object = Object::begin(&mut out, &mut clock);
        write(&mut object);
        object.end();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn every_kind_of_member_is_json() {
        let value = written(|object| {
            object.text("text", "a \"quoted\" \\ line\n\u{0}\u{7f}\u{2028}");
            object.some_text("none", None);
            object.some_text("empty", Some(""));
            object.word("word", "flow");
            object.words("words", &["a", "b"]);
            object.number("number", u64::MAX);
            object.number_as_text("digits", 7);
            object.lower_case("lower", "IPv4");
            object.flag("flag", true);
            object.address("four", "10.0.0.255".parse().unwrap());
            object.address("six", "2001:db8::1".parse().unwrap());
            object.mac("mac", [0, 0x1a, 2, 3, 4, 0xff]);
            object.time("time", 1_700_000_000_000_000_001);
            object.object("inner", |inner| inner.object("empty", |_| ()));
        });
        assert_eq!(
            value,
            json!({
                "text": "a \"quoted\" \\ line\n\u{0}\u{7f}\u{2028}",
                "word": "flow",
                "words": ["a", "b"],
                "number": u64::MAX,
                "digits": "7",
                "lower": "ipv4",
                "flag": true,
                "four": "10.0.0.255",
                "six": "2001:db8::1",
                "mac": "00-1A-02-03-04-FF",
                "time": "2023-11-14T22:13:20.000000001Z",
                "inner": {"empty": {}},
            })
        );
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = "ü".repeat(64 << 10);
        let value = written(|object| object.text("long", &long[..65_536]));
        assert_eq!(value["long"].as_str().unwrap().len(), 8 << 10);
        let odd = format!("x{long}");
        let value = written(|object| object.text("long", &odd));
        assert_eq!(value["long"].as_str().unwrap().len(), (8 << 10) - 1);
    }
}
