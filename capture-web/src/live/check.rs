//! Checks of expressions: a node compiles them, as for a capture that is not started.

use capture_client::{ClientError, Refusal};

use crate::{api::ExpressionVerdict, new_id};

/// The reason in the audit log.
pub(super) const CHECKS: &str = "checks an expression";

/// A name that nobody gives, so that only the expression can be wrong, and an id.
pub(super) fn unused_name() -> (String, String) {
    let id = new_id().unwrap_or_default();
    (format!("check-{}", id.get(..16).unwrap_or_default()), id)
}

/// What the answer says about the expression.
pub(super) fn verdict(refused: Option<ClientError>) -> Result<ExpressionVerdict, ClientError> {
    match refused {
        None => Ok(ExpressionVerdict {
            valid: true,
            problem: None,
        }),
        Some(ClientError::Refused {
            refusal: Refusal::Invalid,
            message,
        }) => Ok(ExpressionVerdict {
            valid: false,
            problem: Some(message),
        }),
        Some(error) => Err(error),
    }
}
