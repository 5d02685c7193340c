//! `capturectl filter`.

use std::collections::BTreeMap;

use capture_args::console::tell;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Context,
    answers::{Answers, OnNode, ask},
    exit::{Error, Exit},
    output,
};
use capture_client::{ClientError, model::Spec};

/// Work with filter expressions.
#[derive(Debug, Args)]
pub(super) struct FilterArgs {
    #[command(subcommand)]
    command: FilterCommand,
}

#[derive(Debug, Subcommand)]
enum FilterCommand {
    /// Ask the nodes whether an expression is valid; starts nothing.
    Check {
        /// The expression, as for tcpdump.
        #[arg(required = true)]
        expression: Vec<String>,
        /// The interface to check for. Repeatable. Default: any.
        #[arg(short, long = "interface")]
        interfaces: Vec<String>,
    },
}

#[derive(Debug, Serialize)]
struct Verdict {
    valid: bool,
    message: Option<String>,
}

pub(super) async fn run(context: &Context, arguments: &FilterArgs) -> Result<Exit, Error> {
    let FilterCommand::Check {
        expression,
        interfaces,
    } = &arguments.command;
    let spec = Spec {
        filter: expression.join(" "),
        interfaces: interfaces.clone(),
        ..Spec::default()
    };
    let options = context.settings.call_options(&context.reason);
    let asked = ask(context, &options, async |client, _| {
        let started = client.start("", spec.clone(), BTreeMap::new(), "", true);
        match started.await {
            Ok(_) => Ok(Verdict {
                valid: true,
                message: None,
            }),
            Err(ClientError::Refused { message, .. }) => Ok(Verdict {
                valid: false,
                message: Some(message),
            }),
            Err(other) => Err(other),
        }
    });
    let Answers { answers, mut exit } = asked.await;
    if answers.is_empty() && exit == Exit::Unreachable {
        tell("capturectl: no node has checked the expression; `captured filter check` needs none");
    }
    if answers.iter().any(|answer| !answer.value.valid) {
        exit = exit.and(Exit::Failed);
    }
    output::print(context.format, &answers, || {
        answers
            .iter()
            .map(|OnNode { node, value }| match &value.message {
                None => format!("{node}: valid\n"),
                Some(message) => format!("{node}: not valid: {message}\n"),
            })
            .collect()
    })?;
    Ok(exit)
}
