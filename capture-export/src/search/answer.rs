//! The answer to a bulk request: what became of each document.

use std::borrow::Cow;

use serde::Deserialize;

/// Bytes of a reason that are kept.
const LONGEST_REASON: usize = 512;

/// What became of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is in the index.
    Accepted,
    /// It had been in the index before.
    Duplicate,
    /// The cluster is too busy, or a shard is not there: it may take the document later.
    Busy(String),
    /// The cluster will never take the document.
    Rejected(String),
    /// The index cannot be written to, whatever the document: it is missing, or this user may not.
    Refused(String),
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    items: Vec<Item<'a>>,
}

/// The action is `create`; some servers answer as if it had been `index`.
#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, alias = "index")]
    create: Done<'a>,
}

#[derive(Deserialize)]
struct Done<'a> {
    status: u16,
    #[serde(borrow, default)]
    error: Option<Problem<'a>>,
}

#[derive(Deserialize)]
struct Problem<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    caused_by: Option<Cause<'a>>,
}

#[derive(Deserialize)]
struct Cause<'a> {
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
}

/// Why an answer cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    #[error(
        "the answer to a bulk request is no JSON of a bulk answer: {0}; is this a search cluster?"
    )]
    Json(#[from] serde_json::Error),
    #[error("the answer to a bulk request has {found} items for {sent} documents")]
    Number { sent: usize, found: usize },
}

/// The outcome of each document, in the order of the request.
pub(super) fn outcomes(body: &[u8], sent: usize) -> Result<Vec<Outcome>, AnswerError> {
    let answer: Answer<'_> = serde_json::from_slice(body)?;
    let found = answer.items.len();
    if found != sent {
        return Err(AnswerError::Number { sent, found });
    }
    Ok(answer
        .items
        .iter()
        .map(|item| outcome(&item.create))
        .collect())
}

fn outcome(done: &Done<'_>) -> Outcome {
    let kind = done.error.as_ref().map_or("", |error| &error.kind);
    match done.status {
        200..=299 if done.error.is_none() => Outcome::Accepted,
        409 => Outcome::Duplicate,
        429 | 500..=599 => Outcome::Busy(reason(done)),
        // Thread pools that are full, and blocks of a disk that is nearly full, have several statuses.
        _ if kind.contains("rejected_execution") || kind == "cluster_block_exception" => {
            Outcome::Busy(reason(done))
        }
        401 | 403 | 404 => Outcome::Refused(reason(done)),
        _ => Outcome::Rejected(reason(done)),
    }
}

/// The status and the reason, on one line of bounded length.
fn reason(done: &Done<'_>) -> String {
    let mut text = done.status.to_string();
    if let Some(error) = &done.error {
        let cause = error
            .caused_by
            .as_ref()
            .and_then(|cause| cause.reason.as_ref());
        let parts = [Some(&error.kind), error.reason.as_ref(), cause];
        for part in parts.into_iter().flatten().filter(|part| !part.is_empty()) {
            text.push_str(": ");
            text.push_str(part);
        }
    }
    one_line(&text)
}

/// A text from outside, on one line of bounded length.
pub(super) fn one_line(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(LONGEST_REASON)];
    text.replace(|character: char| character.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::{Outcome, outcomes};

    #[test]
    fn a_success_with_errors_in_it_is_told_apart_item_by_item() {
        let body = br#"{"took":3,"errors":true,"items":[
            {"create":{"_id":"a","status":201}},
            {"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"exists"}}},
            {"create":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"full"}}},
            {"create":{"status":503,"error":{"type":"unavailable_shards_exception","reason":"gone"}}},
            {"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"no \"ip\"\n","caused_by":{"reason":"why"}}}},
            {"create":{"status":404,"error":{"type":"index_not_found_exception","reason":"no such index"}}},
            {"create":{"status":403,"error":{"type":"security_exception"}}},
            {"create":{"status":403,"error":{"type":"cluster_block_exception","reason":"read-only"}}},
            {"create":{"status":200,"error":{"type":"strange","reason":"an error all the same"}}}
        ]}"#;
        let found = outcomes(body, 9).unwrap();
        assert_eq!(found[..2], [Outcome::Accepted, Outcome::Duplicate]);
        assert!(matches!(&found[2], Outcome::Busy(reason) if reason.contains("full")));
        assert!(matches!(&found[3], Outcome::Busy(_)));
        let Outcome::Rejected(reason) = &found[4] else {
            panic!("{:?}", found[4]);
        };
        assert_eq!(reason, "400: document_parsing_exception: no \"ip\" : why");
        assert!(matches!(&found[5], Outcome::Refused(_)));
        assert!(matches!(&found[6], Outcome::Refused(_)));
        assert!(matches!(&found[7], Outcome::Busy(_)));
        assert!(matches!(&found[8], Outcome::Rejected(_)));
    }

    #[test]
    fn an_answer_that_is_cut_or_about_other_documents_is_no_success() {
        let whole = br#"{"errors":false,"items":[{"create":{"status":201}}]}"#;
        assert_eq!(outcomes(whole, 1).unwrap(), [Outcome::Accepted]);
        assert!(outcomes(whole, 2).is_err());
        for end in 0..whole.len() {
            assert!(outcomes(&whole[..end], 1).is_err(), "{end}");
        }
        assert!(outcomes(b"<html>", 1).is_err());
        assert!(outcomes(br#"{"errors":false}"#, 1).is_err());
    }
}
