//! VLAN tags that are in a packet's metadata and not in its bytes.
//!
//! On a live Linux interface libpcap compiles the first `vlan` to a test of the packet's metadata, and
//! what follows to loads that a tag in the metadata does not move. It does so only for a handle opened
//! on an interface, which requires CAP_NET_RAW and a network namespace with an interface. So the
//! program for packets with a tag in the metadata is compiled from an expression in which that `vlan`
//! is replaced by a comparison with the metadata.

use super::{classic::ANCILLARY_OFFSET, tokens};

/// `SKF_AD_VLAN_TAG` of `linux/filter.h`.
const VLAN_TAG: u32 = ANCILLARY_OFFSET + 44;

/// After one of these, `vlan` means a tag further inside.
const INSIDE: [&str; 4] = ["geneve", "vxlan", "pppoes", "mpls"];

/// The expression for packets whose outer tag is in the metadata; `None` if it is the same.
pub(super) fn for_metadata_tag(expression: &str) -> Option<String> {
    let tokens = tokens::tokenize(expression);
    let at = tokens.iter().position(|token| token.text == "vlan")?;
    if tokens[..at]
        .iter()
        .any(|token| INSIDE.contains(&token.text))
    {
        return None;
    }
    let opened = tokens[at + 1..]
        .iter()
        .take_while(|token| token.text == "(")
        .count();
    let number = tokens
        .get(at + 1 + opened)
        .filter(|token| token.text.starts_with(|first: char| first.is_ascii_digit()));
    let closed = tokens[at + 1 + opened..]
        .iter()
        .skip(1)
        .take_while(|token| token.text == ")")
        .count();
    let (test, end) = match number {
        Some(number) if closed >= opened => (
            format!("(ether[{VLAN_TAG}:2] & 0xfff = {})", number.text),
            tokens[at + 1 + opened + opened].end(),
        ),
        _ => ("(1 = 1)".to_owned(), tokens[at].end()),
    };
    Some(format!(
        "{}{test}{}",
        &expression[..tokens[at].start],
        &expression[end..]
    ))
}

#[cfg(test)]
mod tests {
    use super::for_metadata_tag;

    #[test]
    fn the_first_vlan_tests_the_metadata() {
        let tag = "(ether[4294963244:2] & 0xfff = 5)";
        assert_eq!(for_metadata_tag("tcp port 80"), None);
        assert_eq!(for_metadata_tag("vlan").as_deref(), Some("(1 = 1)"));
        assert_eq!(
            for_metadata_tag("not vlan&&tcp").as_deref(),
            Some("not (1 = 1)&&tcp")
        );
        assert_eq!(
            for_metadata_tag("vlan 5 and tcp"),
            Some(format!("{tag} and tcp"))
        );
        assert_eq!(for_metadata_tag("(vlan ((5)))"), Some(format!("({tag})")));
        assert_eq!(
            for_metadata_tag("vlan 5 and vlan 6"),
            Some(format!("{tag} and vlan 6"))
        );
        assert_eq!(for_metadata_tag("geneve and vlan 5"), None);
        assert_eq!(for_metadata_tag(r"ether proto \vlan"), None);
    }
}
