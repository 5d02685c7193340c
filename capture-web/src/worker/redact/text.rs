//! Sentences in which hidden texts occur.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use super::pseudonym::{Pseudonyms, is_mac};

/// Shorter texts than this are no secret, and would be found within words.
const SHORTEST: usize = 4;

/// Replaces hidden texts in sentences.
pub(super) struct Text<'p> {
    pseudonyms: &'p Pseudonyms,
    /// Hidden texts that are no single word.
    phrases: Vec<String>,
    /// Hidden texts that are a word.
    words: BTreeSet<String>,
}

impl<'p> Text<'p> {
    /// For these hidden texts, and the domains above hidden names.
    pub(super) fn new(pseudonyms: &'p Pseudonyms, found: BTreeSet<String>) -> Self {
        let (mut phrases, mut words) = (Vec::new(), BTreeSet::new());
        for text in found {
            if text.len() < SHORTEST {
                continue;
            }
            let mut domain = &*text;
            while let Some((_, above)) = domain.split_once('.') {
                if above.contains('.') {
                    words.insert(above.to_owned());
                }
                domain = above;
            }
            if text.chars().all(is_of_word) {
                words.insert(text);
            } else {
                phrases.push(text);
            }
        }
        // The longest first: one may be a part of another.
        phrases.sort_by_key(|phrase| std::cmp::Reverse(phrase.len()));
        Self {
            pseudonyms,
            phrases,
            words,
        }
    }

    /// The sentence with pseudonyms.
    pub(super) fn replaced(&self, sentence: &str) -> String {
        let mut text = sentence.to_owned();
        for phrase in &self.phrases {
            if text.contains(phrase.as_str()) {
                text = text.replace(phrase.as_str(), &self.pseudonyms.of(phrase));
            }
        }
        let mut replaced = String::with_capacity(text.len());
        let mut rest = &*text;
        while !rest.is_empty() {
            let end = rest
                .find(|letter| !is_of_word(letter))
                .unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            replaced.push_str(&self.word(word));
            let other = after.find(is_of_word).unwrap_or(after.len());
            replaced.push_str(&after[..other]);
            rest = &after[other..];
        }
        replaced
    }

    /// A word, without the punctuation behind it.
    fn word(&self, word: &str) -> String {
        let bare = word.trim_end_matches(['.', ':']);
        let behind = &word[bare.len()..];
        let hidden = if let Ok(address) = bare.parse::<IpAddr>() {
            self.pseudonyms.address(address).to_string()
        } else if let Ok(socket) = bare.parse::<SocketAddr>() {
            let address = self.pseudonyms.address(socket.ip());
            format!("{address}:{}", socket.port())
        } else if is_mac(bare) || self.words.contains(bare) {
            self.pseudonyms.of(bare)
        } else if let Some((name, port)) = bare.rsplit_once(':')
            && self.words.contains(name)
        {
            format!("{}:{port}", self.pseudonyms.of(name))
        } else {
            bare.to_owned()
        };
        hidden + behind
    }
}

/// The letters of addresses and host names.
fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '.' | ':' | '-' | '_')
}
