//! The same request to all nodes at the same time.

use capture_args::console::tell;
use futures_util::future::join_all;
use serde::Serialize;

use super::{
    Context,
    exit::{Error, Exit},
};
use capture_client::{CallOptions, Client, ClientError, Target};

/// What a node answered.
#[derive(Debug, Clone, Serialize)]
pub(super) struct OnNode<T> {
    /// The node, as it was named on the command line.
    pub(super) node: String,
    #[serde(flatten)]
    pub(super) value: T,
}

/// The answers of the nodes that answered; the errors of the others have been reported.
#[derive(Debug)]
pub(super) struct Answers<T> {
    pub(super) answers: Vec<OnNode<T>>,
    pub(super) exit: Exit,
}

/// Asks every node.
pub(super) async fn ask<T>(
    context: &Context,
    options: &CallOptions,
    question: impl AsyncFn(&Client, &Target) -> Result<T, ClientError>,
) -> Answers<T> {
    let targets = &context.settings.targets;
    let asked = targets.iter().map(async |target| {
        let client = Client::connect(target, options).await?;
        question(&client, target).await
    });
    let mut answers = Vec::new();
    let mut exit = Exit::Done;
    for (target, answer) in targets.iter().zip(join_all(asked).await) {
        match answer {
            Ok(value) => answers.push(OnNode {
                node: target.label(),
                value,
            }),
            Err(error) => exit = exit.and(complain(context, target, error)),
        }
    }
    Answers { answers, exit }
}

/// Reports a node's error on stderr.
pub(super) fn complain(context: &Context, target: &Target, error: impl Into<Error>) -> Exit {
    let error = error.into();
    let names_its_node = matches!(error, Error::Client(ClientError::Unreachable { .. }));
    let (text, hint) = (error.to_string(), error.hint());
    if context.settings.targets.len() > 1 && !names_its_node {
        tell(format_args!("capturectl: {target}: {text}{hint}"));
    } else {
        tell(format_args!("capturectl: {text}{hint}"));
    }
    error.exit()
}

impl<T> Answers<Vec<T>> {
    /// One list of all.
    pub(super) fn flat(self) -> Answers<T> {
        Answers {
            exit: self.exit,
            answers: self
                .answers
                .into_iter()
                .flat_map(|OnNode { node, value }| {
                    value.into_iter().map(move |value| OnNode {
                        node: node.clone(),
                        value,
                    })
                })
                .collect(),
        }
    }
}
