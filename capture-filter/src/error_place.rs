//! Finds the position of an error in an expression. libpcap reports what is wrong, but not where.

use pcap::Linktype;

use super::{
    error::{FilterError, Place},
    libpcap,
    tokens::{self, Token},
};

/// Possible continuations of an expression's beginning; if a beginning can be continued at all, one
/// of these completes it.
const CONTINUATIONS: [&str; 12] = [
    "",
    "1",
    "1.2.3.4",
    "1:2:3:4:5:6",
    "1-2",
    "tcp",
    "dst 1.2.3.4",
    "dst port 1",
    "host 1.2.3.4",
    "255.255.255.0",
    "0",
    "tcp-syn",
];

/// The first misplaced token, found by asking libpcap which beginnings of the expression can be
/// continued.
pub(super) fn find(expression: &str, link_type: Linktype, message: &str) -> Option<Place> {
    let tokens = tokens::tokenize(expression);
    if !message.contains("syntax error") {
        return quoted(message, &tokens);
    }
    // If a beginning can be continued, so can every shorter one.
    let bad = partition_point(tokens.len(), |count| {
        continues(expression, &tokens[..=count], link_type)
    });
    Some(
        tokens
            .get(bad)
            .map_or(Place::new(expression.len(), ""), |token| {
                Place::new(token.start, token.text)
            }),
    )
}

/// The token that libpcap's message quotes.
fn quoted(message: &str, tokens: &[Token<'_>]) -> Option<Place> {
    let name = message
        .split(['\'', '"'])
        .nth(1)
        .filter(|name| !name.is_empty())?;
    tokens
        .iter()
        .find(|token| token.text == name)
        .map(|token| Place::new(token.start, token.text))
}

fn continues(expression: &str, tokens: &[Token<'_>], link_type: Linktype) -> bool {
    let Some(last) = tokens.last() else {
        return true;
    };
    let mut closers = String::new();
    for token in tokens {
        match token.text {
            "(" => closers.insert(0, ')'),
            "[" => closers.insert(0, ']'),
            ")" | "]" if !closers.is_empty() => {
                closers.remove(0);
            }
            _ => {}
        }
    }
    let beginning = &expression[..last.end()];
    CONTINUATIONS.iter().any(|continuation| {
        ["", " = 1"].iter().any(|relation| {
            let whole = format!("{beginning} {continuation}{closers}{relation}");
            match libpcap::compile(&whole, link_type, false) {
                Ok(_) => true,
                Err(FilterError::Invalid { message, .. }) => !message.contains("syntax error"),
                Err(_) => true,
            }
        })
    })
}

/// The first number below `length` for which `holds` is false, by binary search.
fn partition_point(length: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, length);
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use crate::{Filter, FilterError};
    use capture_types::{FilterSpec, LinkType};

    fn error(expression: &str) -> String {
        let spec = FilterSpec::expression(expression);
        match Filter::compile(&spec, LinkType::Ethernet) {
            Ok(_) => panic!("{expression} is taken"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn an_error_says_where_the_expression_is_wrong() {
        for (expression, place) in [
            ("tcp port", ", at its end"),
            ("tcp and (", ", at its end"),
            ("tcp and (udp or host", ", at its end"),
            ("tcp prot 80", r#", at "prot" (byte 4)"#),
            ("host 10.0.0.1 and and tcp", r#", at "and" (byte 18)"#),
            ("tcp[13 = 2", r#", at "=" (byte 7)"#),
            ("tcp[tcpflags] & (tcp-syn = 1", r#", at "=" (byte 25)"#),
            ("tcp ) and udp", r#", at ")" (byte 4)"#),
            (
                "ether host 1:2:3:4:5:6 or port port",
                r#", at "port" (byte 31)"#,
            ),
            ("vlan 5 and 80 80", r#", at "80" (byte 14)"#),
            ("len <", ", at its end"),
        ] {
            let message = error(expression);
            assert!(message.ends_with(place), "{expression}: {message}");
            assert!(message.contains("syntax error"), "{message}");
        }
    }

    #[test]
    fn protochain_is_refused_by_name() {
        for expression in ["ip protochain 6", "ip6 protochain 6"] {
            let message = error(expression);
            assert!(message.contains("protochain"), "{message}");
        }
    }

    #[test]
    fn an_expression_that_matches_nothing_anywhere_is_refused() {
        let spec = FilterSpec::expression("tcp and udp");
        for link_type in [LinkType::Ethernet, LinkType::Raw] {
            assert!(matches!(
                Filter::compile(&spec, link_type),
                Err(FilterError::Never)
            ));
        }
    }

    #[test]
    fn an_expression_that_a_link_type_does_not_have_matches_nothing_there() {
        for expression in ["arp", "ether host 1:2:3:4:5:6", "vlan 5", "stp"] {
            let spec = FilterSpec::expression(expression);
            let filter = Filter::compile(&spec, LinkType::Raw).unwrap();
            assert!(filter.classic()[0].1.matches_nothing(), "{expression}");
            let filter = Filter::compile(&spec, LinkType::Ethernet).unwrap();
            assert!(!filter.classic()[0].1.matches_nothing(), "{expression}");
        }
    }
}
