//! What nodes answered, in a response or as an error.

use capture_proto::v1;
use tonic::{Code, Status};

/// Nodes that an error names, and bytes of its message.
const MOST_NODES: usize = 5;
const LONGEST: usize = 2048;

/// What a node did.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) capture: Option<v1::Capture>,
    pub(super) files_removed: u64,
}

impl From<Option<v1::Capture>> for Done {
    fn from(capture: Option<v1::Capture>) -> Self {
        Self {
            capture,
            files_removed: 0,
        }
    }
}

/// The answers, if at least one node did what was asked; otherwise the error of the first one.
pub(super) fn answers(
    nodes: Vec<(String, Result<Done, Status>)>,
) -> Result<Vec<v1::ClusterNodeAnswer>, Status> {
    if nodes.iter().all(|(_, result)| result.is_err()) {
        return Err(refusal(&nodes));
    }
    Ok(nodes.into_iter().map(answer).collect())
}

fn answer((node, result): (String, Result<Done, Status>)) -> v1::ClusterNodeAnswer {
    match result {
        Ok(done) => v1::ClusterNodeAnswer {
            node,
            capture: done.capture,
            problem: None,
            files_removed: done.files_removed,
        },
        Err(status) => problem(node, status.code(), status.message()),
    }
}

/// The answer of a node that did not do what was asked.
pub(super) fn problem(node: String, code: Code, message: &str) -> v1::ClusterNodeAnswer {
    v1::ClusterNodeAnswer {
        node,
        capture: None,
        problem: Some(v1::ClusterNodeProblem {
            code: code.into(),
            message: message.to_owned(),
        }),
        files_removed: 0,
    }
}

/// No node did it: the first one's error, with the messages of all.
fn refusal(nodes: &[(String, Result<Done, Status>)]) -> Status {
    let refused = nodes.iter().filter_map(|(node, result)| {
        let status = result.as_ref().err()?;
        Some((node, status))
    });
    let refused: Vec<_> = refused.collect();
    let Some((_, first)) = refused.first() else {
        return Status::not_found("there is no node");
    };
    let shown = refused.iter().take(MOST_NODES);
    let shown: Vec<String> = shown
        .map(|(node, status)| format!("{node}: {}", status.message()))
        .collect();
    let mut message = shown.join("; ");
    if refused.len() > MOST_NODES {
        message.push_str(&format!("; and {} others", refused.len() - MOST_NODES));
    }
    let message = super::short(&message, LONGEST);
    Status::with_details(first.code(), message, first.details().to_vec().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done() -> Result<Done, Status> {
        Ok(Some(v1::Capture::default()).into())
    }

    #[test]
    fn one_node_is_enough_and_the_others_are_told() {
        let refused = Err(Status::unavailable("it is away"));
        let nodes = vec![("a".to_owned(), refused), ("b".to_owned(), done())];
        let answers = answers(nodes).unwrap();
        let problem = answers[0].problem.as_ref().unwrap();
        assert_eq!(problem.code, i32::from(Code::Unavailable));
        assert_eq!(problem.message, "it is away");
        assert!(answers[1].problem.is_none() && answers[1].capture.is_some());
    }

    #[test]
    fn if_no_node_did_it_the_error_names_each() {
        let refused = |code, text: &str| Err(Status::new(code, text));
        let nodes = vec![
            ("a".to_owned(), refused(Code::AlreadyExists, "there is one")),
            ("b".to_owned(), refused(Code::Unavailable, "it is away")),
        ];
        let status = answers(nodes).unwrap_err();
        assert_eq!(status.code(), Code::AlreadyExists);
        assert_eq!(status.message(), "a: there is one; b: it is away");
        assert_eq!(answers(Vec::new()).unwrap_err().code(), Code::NotFound);
    }
}
