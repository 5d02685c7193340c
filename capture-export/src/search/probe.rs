//! A bulk request that changes nothing: whether a cluster answers requests at all that have none of our documents.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use reqwest::Method;
use serde::Deserialize;

use super::client::{Body, Client};

/// Updates a document that does not exist, which makes none: the answer has the status 404 for it, or another one where
/// documents may not be updated.
const PROBE: &[u8] = b"{\"update\":{\"_id\":\"capture-export-no-such-document\"}}\n{\"doc\":{}}\n";

#[derive(Deserialize)]
struct Answer {
    items: Vec<serde::de::IgnoredAny>,
}

/// Whether the cluster answers the request as a search cluster does, for its one document alone.
pub(super) async fn is_answered(client: &Client, path: &str) -> bool {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let Ok(body) = encoder.write_all(PROBE).and_then(|()| encoder.finish()) else {
        return false;
    };
    let answer = client.send(Method::POST, path, Body::Lines(Bytes::from(body)));
    answer.await.is_ok_and(|answer| {
        let read: Result<Answer, _> = serde_json::from_slice(&answer.body);
        answer.status.is_success() && read.is_ok_and(|answer| answer.items.len() == 1)
    })
}
