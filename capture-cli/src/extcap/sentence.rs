//! The sentences that Wireshark reads: a word and `{key=value}` pairs.

/// Braces would end a value.
fn value(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '{' => '(',
            '}' => ')',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect()
}

/// The first sentence.
#[must_use]
pub fn greeting() -> String {
    format!(
        "extcap {{version={}}}{{display=captured on nodes}}",
        env!("CARGO_PKG_VERSION")
    )
}

/// An interface, with its value and its displayed name.
#[must_use]
pub fn interface(name: &str, display: &str) -> String {
    format!(
        "interface {{value={}}}{{display={}}}",
        value(name),
        value(display)
    )
}

/// A link type. For most the number is the same in files and in libpcap's interface.
#[must_use]
pub fn dlt(link_type: u32, name: &str) -> String {
    // LINKTYPE_RAW is DLT_RAW, which is 12 on Linux.
    let number = if link_type == 101 { 12 } else { link_type };
    format!(
        "dlt {{number={number}}}{{name={0}}}{{display={0}}}",
        value(name)
    )
}

/// An option with a number.
#[must_use]
pub fn number_argument(number: u32, call: &str, display: &str, tooltip: &str) -> String {
    format!(
        "arg {{number={number}}}{{call={call}}}{{display={}}}{{tooltip={}}}{{type=unsigned}}\
         {{default=0}}",
        value(display),
        value(tooltip)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_breaks_a_sentence() {
        assert_eq!(
            interface("a}{display=b", "x\ny"),
            "interface {value=a)(display=b}{display=x y}"
        );
        assert_eq!(dlt(101, "RAW"), "dlt {number=12}{name=RAW}{display=RAW}");
    }
}
