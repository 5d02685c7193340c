//! The header and the question of a DNS message. Our own code: a message truncated by the snap length
//! still contains its question, and libraries reject it.

use std::fmt::Write as _;

/// The parsed fields of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) id: u16,
    pub(crate) response: bool,
    pub(crate) truncated: bool,
    pub(crate) code: u8,
    /// The name in the question, without the final dot; and the type.
    pub(crate) question: Option<(String, u16)>,
}

/// RFC 1035, 2.3.4: 255 bytes; as text with escapes up to four times that.
const LONGEST_NAME: usize = 255;
/// Maximum pointers followed in one name.
const MOST_POINTERS: usize = 8;

impl Message {
    /// `None` if it is not a DNS message.
    pub(crate) fn read(data: &[u8]) -> Option<Self> {
        let header = data.first_chunk::<12>()?;
        let half = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let flags = half(2);
        let opcode = flags >> 11 & 15;
        let questions = half(4);
        // Reserved opcodes and hundreds of questions: another protocol on this port.
        if opcode > 6 || questions > 16 {
            return None;
        }
        let question = (questions > 0).then(|| question(data)).flatten();
        Some(Self {
            id: half(0),
            response: flags & 0x8000 != 0,
            truncated: flags & 0x0200 != 0,
            code: (flags & 15) as u8,
            question,
        })
    }
}

fn question(data: &[u8]) -> Option<(String, u16)> {
    let mut name = String::new();
    let (mut at, mut behind, mut bytes) = (12, None, 0);
    let mut pointers = 0;
    loop {
        let length = usize::from(*data.get(at)?);
        match length >> 6 {
            0 if length == 0 => {
                at += 1;
                break;
            }
            0 => {
                let label = data.get(at + 1..at + 1 + length)?;
                bytes += length + 1;
                if bytes > LONGEST_NAME {
                    return None;
                }
                if !name.is_empty() {
                    name.push('.');
                }
                push(&mut name, label);
                at += 1 + length;
            }
            3 => {
                behind.get_or_insert(at + 2);
                pointers += 1;
                if pointers > MOST_POINTERS {
                    return None;
                }
                at = (length & 0x3f) << 8 | usize::from(*data.get(at + 1)?);
            }
            _ => return None,
        }
    }
    let at = behind.unwrap_or(at);
    let kind = data.get(at..at + 2)?;
    Some((name, u16::from_be_bytes([kind[0], kind[1]])))
}

fn push(name: &mut String, label: &[u8]) {
    for byte in label {
        match byte {
            b'!'..=b'~' if !matches!(byte, b'.' | b'\\') => name.push(char::from(*byte)),
            // Presentation format (RFC 1035, 5.1).
            b'.' | b'\\' => {
                name.push('\\');
                name.push(char::from(*byte));
            }
            other => _ = write!(name, "\\{other:03}"),
        }
    }
}

/// <https://www.iana.org/assignments/dns-parameters>, the common ones.
pub(crate) fn kind(number: u16) -> String {
    match number {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        12 => "PTR",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        33 => "SRV",
        35 => "NAPTR",
        43 => "DS",
        48 => "DNSKEY",
        64 => "SVCB",
        65 => "HTTPS",
        252 => "AXFR",
        255 => "ANY",
        other => return format!("TYPE{other}"),
    }
    .to_owned()
}

pub(crate) fn code(number: u8) -> String {
    match number {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        other => return format!("RCODE{other}"),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::Message;

    fn query(name: &[&[u8]]) -> Vec<u8> {
        let mut data = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name {
            data.push(label.len() as u8);
            data.extend(*label);
        }
        data.extend([0, 0, 28, 0, 1]);
        data
    }

    #[test]
    fn a_question_is_read_and_hostile_bytes_are_escaped() {
        let message = Message::read(&query(&[b"www", b"a.b\x1b\xff", b"org"])).unwrap();
        assert_eq!(message.id, 0x1234);
        assert!(!message.response);
        let name = r"www.a\.b\027\255.org".to_owned();
        assert_eq!(message.question, Some((name, 28)));
    }

    #[test]
    fn pointers_that_go_in_circles_and_cut_questions_are_no_question() {
        let mut data = query(&[b"x"]);
        data[12] = 0xc0;
        data[13] = 12;
        assert_eq!(Message::read(&data).unwrap().question, None);
        let data = query(&[b"example", b"org"]);
        for length in 0..data.len() {
            let question = Message::read(&data[..length]).and_then(|message| message.question);
            assert!(length >= data.len() - 2 || question.is_none());
        }
    }
}
