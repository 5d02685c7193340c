//! Errors of nodes as problems of the API.

use capture_client::{ClientError, Refusal};

use crate::api::Problem;

fn new(status: u16, title: &str, detail: impl Into<String>, fix: &str) -> Box<Problem> {
    Box::new(Problem {
        title: title.to_owned(),
        status,
        detail: detail.into(),
        field: None,
        value: None,
        fix: (!fix.is_empty()).then(|| fix.to_owned()),
        retry_after: None,
    })
}

/// What a node's error means.
pub(super) fn of(error: &ClientError) -> Box<Problem> {
    let detail = error.to_string();
    let (status, title, fix) = match error {
        ClientError::NoDaemon { .. } => (
            503,
            "No Daemon",
            "start the daemon of this machine, captured serve, or name nodes in the settings",
        ),
        ClientError::SocketDenied { .. } => (
            503,
            "Not Allowed",
            "add the user of this server to socket_users of the daemon",
        ),
        ClientError::Unreachable { .. } | ClientError::Broken(_) => {
            (503, "Not Reachable", "look at the node and its daemon")
        }
        ClientError::Timeout { .. } => (504, "No Answer", "try again"),
        ClientError::Tls(_) | ClientError::Files(_) => (
            502,
            "No Connection",
            "look at cacert, cert and key in the settings",
        ),
        ClientError::NotFound(_) => (404, "Not Found", ""),
        ClientError::Denied(_) => (
            403,
            "Not Allowed",
            "give this server's certificate the role operator at the daemon",
        ),
        ClientError::Refused { refusal, .. } => match refusal {
            Refusal::Invalid => (400, "Not Valid", ""),
            Refusal::AlreadyExists => (409, "Already There", "choose another name"),
            Refusal::Precondition => (409, "Not Possible Now", ""),
            Refusal::Conflict => (
                409,
                "Changed Meanwhile",
                "look at it again, and repeat the change",
            ),
            Refusal::Exhausted => (409, "Limit Reached", "stop or delete captures"),
            Refusal::Unsupported => (501, "Not Supported", "use a newer daemon"),
            Refusal::Internal => (502, "Daemon Failed", "look at the daemon's log"),
        },
        ClientError::Damaged(_) => (502, "Damaged", ""),
    };
    new(status, title, detail, fix)
}

/// Something is not known.
pub(super) fn not_found(what: &str, name: &str) -> Box<Problem> {
    let detail = format!("there is no {what} {name:?}");
    let mut problem = new(404, "Not Found", detail, "");
    problem.field = Some(what.to_owned());
    problem.value = Some(name.chars().take(100).collect());
    problem
}

/// A field is wrong.
pub(super) fn invalid(field: &str, value: &str, fix: &str) -> Box<Problem> {
    let mut problem = new(
        400,
        "Not Valid",
        format!("{field} {value:?} is not valid"),
        fix,
    );
    problem.field = Some(field.to_owned());
    problem.value = Some(value.chars().take(100).collect());
    problem
}

/// A file needs its node.
pub(super) fn which_node() -> Box<Problem> {
    let mut problem = new(
        400,
        "Not Valid",
        "the capture runs on several nodes",
        "send node=NAME, as the list of files has it",
    );
    problem.field = Some("node".to_owned());
    problem
}

/// The coordinator only shows captures.
pub(super) fn only_shown() -> Box<Problem> {
    new(
        501,
        "Not Possible Here",
        ONLY_SHOWN,
        "create, change or delete a PacketCaptureConfig with kubectl; without Kubernetes, use capturectl at the nodes",
    )
}

/// Why captures of a cluster cannot be changed.
pub const ONLY_SHOWN: &str =
    "captures of a cluster are started and stopped by PacketCaptureConfig resources";
