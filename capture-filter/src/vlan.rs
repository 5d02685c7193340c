//! VLAN tags that are beside a packet's bytes.
//!
//! On a live Linux interface libpcap compiles the first `vlan` to a look at the packet's metadata,
//! and what follows it to loads that a tag there does not move. It does so only for a handle opened
//! on an interface, which takes CAP_NET_RAW and a network namespace that has one. So the program for
//! packets with a tag in the metadata is compiled from an expression in which that `vlan` is written
//! as a comparison with the metadata.

use super::{classic::ANCILLARY_OFFSET, words};

/// `SKF_AD_VLAN_TAG` of `linux/filter.h`.
const VLAN_TAG: u32 = ANCILLARY_OFFSET + 44;

/// After one of these, `vlan` means a tag further inside.
const INSIDE: [&str; 4] = ["geneve", "vxlan", "pppoes", "mpls"];

/// The expression for packets whose outer tag is beside their bytes; `None` where it is the same.
pub(super) fn beside(expression: &str) -> Option<String> {
    let words = words::split(expression);
    let at = words.iter().position(|word| word.text == "vlan")?;
    if words[..at].iter().any(|word| INSIDE.contains(&word.text)) {
        return None;
    }
    let opened = words[at + 1..]
        .iter()
        .take_while(|word| word.text == "(")
        .count();
    let number = words
        .get(at + 1 + opened)
        .filter(|word| word.text.starts_with(|first: char| first.is_ascii_digit()));
    let closed = words[at + 1 + opened..]
        .iter()
        .skip(1)
        .take_while(|word| word.text == ")")
        .count();
    let (test, end) = match number {
        Some(number) if closed >= opened => (
            format!("(ether[{VLAN_TAG}:2] & 0xfff = {})", number.text),
            words[at + 1 + opened + opened].end(),
        ),
        _ => ("(1 = 1)".to_owned(), words[at].end()),
    };
    Some(format!(
        "{}{test}{}",
        &expression[..words[at].start],
        &expression[end..]
    ))
}

#[cfg(test)]
mod tests {
    use super::beside;

    #[test]
    fn the_first_vlan_looks_beside_the_bytes() {
        let tag = "(ether[4294963244:2] & 0xfff = 5)";
        assert_eq!(beside("tcp port 80"), None);
        assert_eq!(beside("vlan").as_deref(), Some("(1 = 1)"));
        assert_eq!(beside("not vlan&&tcp").as_deref(), Some("not (1 = 1)&&tcp"));
        assert_eq!(beside("vlan 5 and tcp"), Some(format!("{tag} and tcp")));
        assert_eq!(beside("(vlan ((5)))"), Some(format!("({tag})")));
        assert_eq!(
            beside("vlan 5 and vlan 6"),
            Some(format!("{tag} and vlan 6"))
        );
        assert_eq!(beside("geneve and vlan 5"), None);
        assert_eq!(beside(r"ether proto \vlan"), None);
    }
}
