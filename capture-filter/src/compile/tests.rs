//! Expressions at and beyond the limits.

use crate::{Filter, FilterError};
use capture_types::FilterSpec;
use capture_types::LinkType;

fn compile(expression: &str) -> Result<Filter, FilterError> {
    Filter::compile(&FilterSpec::expression(expression), LinkType::Ethernet)
}

#[test]
fn an_expression_out_of_bounds_is_refused_and_the_bound_is_named() {
    let terms = |term: &str, count: usize| vec![term; count].join(" or ");
    for (expression, bound) in [
        (terms("port 80", 10_000), "65536"),
        (terms("tcp", 10_000), "65536"),
        (terms("ip", 2_000), "1500"),
        ("(".repeat(50_000), "1500"),
        (format!("{}tcp{}", "(".repeat(500), ")".repeat(500)), "100"),
        (
            format!("{}0{} = 0", "ip[".repeat(400), "]".repeat(400)),
            "100",
        ),
        ("a".repeat(10 << 20), "65536"),
        (" ".repeat(1 << 20), "65536"),
        (terms("port 80", 260), "8000"),
    ] {
        let message = match compile(&expression) {
            Ok(_) => panic!("{} bytes are accepted", expression.len()),
            Err(error) => error.to_string(),
        };
        let start: String = expression.chars().take(20).collect();
        assert!(message.contains(bound), "{start}: {message}");
    }
    let zero = compile("tcp\0udp").unwrap_err().to_string();
    assert!(zero.contains("zero byte"), "{zero}");
}

#[test]
fn an_expression_at_its_bounds_is_taken_or_refused_and_nothing_else() {
    for expression in [
        "not ".repeat(1_490) + "tcp",
        format!("{}tcp{}", "(".repeat(100), ")".repeat(100)),
        "vlan and ".repeat(700) + "tcp",
        format!("{}14{} > 0", "ether[".repeat(90), "]".repeat(90)),
        "1 + ".repeat(700) + "1 = 0",
        "\u{7f}\u{80}\u{2028}".repeat(300),
        "\\host ' \\ ".repeat(100),
        "-".repeat(1_400),
        "[".repeat(90),
    ] {
        // Whatever libpcap's result is, it returns, and a program that it produces can be
        // translated.
        if let Ok(filter) = compile(&expression) {
            assert!(filter.classic()[0].1.instructions().len() <= 4096);
        }
    }
}
