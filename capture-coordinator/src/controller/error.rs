//! Errors of a reconcile.

/// Why a reconcile failed; it is repeated.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The API server.
    #[error("{doing}: {problem}")]
    Api {
        /// The operation.
        doing: &'static str,
        /// Its error.
        problem: String,
    },
    /// A bug.
    #[error("the reconcile ended unexpectedly: {problem}")]
    Task {
        /// What is known of it.
        problem: String,
    },
}

/// An error of the API server in one sentence.
pub(super) fn describe(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}
