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

/// An error of a coordinator that was asked to change a capture.
pub(super) fn of_coordinator(error: &ClientError) -> Box<Problem> {
    match error {
        ClientError::Refused {
            refusal: Refusal::Unsupported,
            message,
        } => new(
            501,
            "Not Possible Here",
            format!("this coordinator is too old to start and change captures: {message}"),
            "upgrade it; until then create, change or delete a PacketCaptureConfig with kubectl, or without \
             Kubernetes use capturectl at the nodes",
        ),
        ClientError::Denied(_) => {
            let mut problem = of(error);
            problem.fix = Some(
                "give this server the right at the coordinator: in Kubernetes web.mayChange of the chart, \
                 otherwise the coordinator the role operator at the daemons"
                    .to_owned(),
            );
            problem
        }
        error => of(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coordinator_that_is_too_old_is_told_with_the_way_out() {
        let error = ClientError::Refused {
            refusal: Refusal::Unsupported,
            message: "Operation is not implemented or not supported".to_owned(),
        };
        let problem = of_coordinator(&error);
        assert_eq!(problem.status, 501);
        let fix = problem.fix.unwrap_or_default();
        for part in ["upgrade", "PacketCaptureConfig", "capturectl"] {
            assert!(fix.contains(part), "{fix}");
        }
        let denied = of_coordinator(&ClientError::Denied("no".to_owned()));
        assert_eq!(denied.status, 403);
        assert!(denied.fix.unwrap_or_default().contains("web.mayChange"));
    }
}
