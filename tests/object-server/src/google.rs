//! The XML API of Google Cloud Storage before a server of S3: Google made it to be like S3, and its reference
//! (<https://cloud.google.com/storage/docs/xml-api/overview>) says where it differs. These differences are here: requests
//! carry a token of a service account instead of a signature, headers are named `x-goog-`, and a condition is about the
//! generation of an object.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::{
    body::Body,
    extract::Request,
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH},
    },
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use tokio_rustls::rustls::crypto::ring;

/// A service account.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its address.
    pub email: String,
    /// The public part of its key: an RSAPublicKey in DER.
    pub public_key: Vec<u8>,
}

const META: &str = "x-goog-meta-";
const META_OF_S3: &str = "x-amz-meta-";
const CONDITION: &str = "x-goog-if-generation-match";
/// `sha256WithRSAEncryption` (RFC 4055), as an AlgorithmIdentifier without its outer tag.
const RSA_WITH_SHA256: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00,
];
/// Scopes with which objects may be written.
const SCOPES: [&str; 3] = [
    "https://www.googleapis.com/auth/cloud-platform",
    "https://www.googleapis.com/auth/devstorage.full_control",
    "https://www.googleapis.com/auth/devstorage.read_write",
];

impl Account {
    /// What is wrong with a token that a service account has signed itself (<https://google.aip.dev/auth/4111>).
    fn check(&self, token: &str) -> Result<(), &'static str> {
        let (message, signature) = token.rsplit_once('.').ok_or("no token")?;
        let (head, claims) = message.split_once('.').ok_or("no token")?;
        let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| "no base64");
        let read = |text: &str| -> Result<Value, &'static str> {
            serde_json::from_slice(&decoded(text)?).map_err(|_| "no JSON")
        };
        if read(head)?["alg"] != "RS256" {
            return Err("another algorithm than RS256");
        }
        let algorithms = ring::default_provider().signature_verification_algorithms;
        let algorithm = algorithms
            .all
            .iter()
            .find(|one| one.signature_alg_id().as_ref() == RSA_WITH_SHA256)
            .ok_or("no RSA")?;
        algorithm
            .verify_signature(&self.public_key, message.as_bytes(), &decoded(signature)?)
            .map_err(|_| "another signature")?;
        let claims = read(claims)?;
        if claims["iss"] != self.email.as_str() || claims["sub"] != self.email.as_str() {
            return Err("another account");
        }
        let scope = claims["scope"].as_str().unwrap_or_default();
        if !scope.split(' ').any(|scope| SCOPES.contains(&scope)) {
            return Err("no scope to write");
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_secs());
        let lasts = claims["exp"].as_u64().unwrap_or(0);
        if lasts <= now || lasts > now + 3600 + 60 {
            return Err("a time that is over, or more than an hour ahead");
        }
        Ok(())
    }
}

/// The request as S3 has it; or the answer to one that Google refuses.
pub(crate) fn translated(account: &Account, request: Request) -> Result<Request, Box<Response>> {
    let (mut head, body) = request.into_parts();
    let token = head.headers.remove(AUTHORIZATION);
    let token = token.as_ref().and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer "));
    if let Err(why) = account.check(token.unwrap_or_default()) {
        return Err(refused(
            StatusCode::UNAUTHORIZED,
            "AuthenticationRequired",
            why,
        ));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in head.headers.drain() {
        // A name that is absent is that of the one before.
        let Some(name) = name else { continue };
        let text = name.as_str();
        if let Some(end) = text.strip_prefix(META) {
            let name = HeaderName::try_from(format!("{META_OF_S3}{end}"));
            headers.extend(name.ok().map(|name| (name, value)));
        } else if text == CONDITION {
            // Other generations are of updates, which nobody here makes.
            if value != "0" {
                let why = "only 0 is known";
                return Err(refused(StatusCode::NOT_IMPLEMENTED, "NotImplemented", why));
            }
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        } else if text.starts_with("x-goog-") || text.starts_with("x-amz-") {
            return Err(refused(StatusCode::BAD_REQUEST, "InvalidArgument", text));
        } else {
            headers.insert(name, value);
        }
    }
    head.headers = headers;
    Ok(Request::from_parts(head, body))
}

/// The answer as Google has it.
pub(crate) fn answered(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    let mut headers = HeaderMap::new();
    for (name, value) in head.headers.drain() {
        let Some(name) = name else { continue };
        match name.as_str().strip_prefix(META_OF_S3) {
            Some(end) => {
                let name = HeaderName::try_from(format!("{META}{end}"));
                headers.extend(name.ok().map(|name| (name, value)));
            }
            None if name.as_str().starts_with("x-amz-") => {}
            None => drop(headers.append(name, value)),
        }
    }
    head.headers = headers;
    Response::from_parts(head, Body::new(body))
}

fn refused(status: StatusCode, code: &str, why: &str) -> Box<Response> {
    let text = format!(
        "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{why}</Message></Error>"
    );
    Box::new((status, [(CONTENT_TYPE, "application/xml")], text).into_response())
}
