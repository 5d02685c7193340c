//! All settings with their documentation, as a configuration file to start from.

use super::{DEFAULTS, layers};

/// The defaults as TOML. The comment above each key has its meaning, its variable and its flag, which is
/// looked up in `flags` (pairs of key and flag).
pub fn documented(flags: &[(&str, &str)]) -> String {
    let mut text = String::new();
    let mut table = String::new();
    for line in DEFAULTS.lines() {
        if let Some(name) = line.strip_prefix('[') {
            table = format!("{}.", name.trim_end_matches(']'));
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            let key = format!("{table}{key}");
            let variable = layers::variable(&key);
            text += &match flags.iter().find(|(of, _)| *of == key) {
                Some((_, flag)) => format!("# Environment: {variable}. Flag: {flag}.\n"),
                None => format!("# Environment: {variable}.\n"),
            };
        }
        text += line;
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::documented;
    use crate::serve::config::{Layers, read};

    #[test]
    fn every_setting_has_a_meaning_and_a_variable_and_keeps_its_default() {
        let text = documented(&[("tls.key", "--tls-key")]);
        let none = || std::iter::empty();
        let (from_file, _) = read(Some(("f.toml", &text)), none(), &[]).expect("sound");
        let built_in = Layers::defaults(super::DEFAULTS).expect("defaults");
        for (key, value, _) in built_in.all() {
            let found = from_file.all().find(|(of, ..)| *of == key);
            assert_eq!(found.map(|(_, value, _)| value), Some(value), "{key}");
        }
        let lines: Vec<_> = text.lines().collect();
        let mut settings = 0;
        for (at, line) in lines.iter().enumerate() {
            if line.contains(" = ") && !line.starts_with('#') {
                settings += 1;
                assert!(
                    lines[at - 1].starts_with("# Environment: CAPTURED_"),
                    "{line}"
                );
                assert!(lines[at - 2].starts_with("# "), "{line} has no meaning");
            }
        }
        assert_eq!(settings, built_in.all().count());
        assert!(text.contains("# Environment: CAPTURED_TLS_KEY. Flag: --tls-key.\nkey = "));
    }
}
