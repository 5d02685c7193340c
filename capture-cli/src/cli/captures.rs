//! `capturectl stop`, `list`, `get` and `rm`.

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{
    Context,
    answers::{Answers, OnNode, ask},
    exit::{Error, Exit},
    output, tables, values,
};
use capture_client::{
    CallOptions, Client, ClientError,
    model::{Capture, State},
};

/// Stop captures, and wait until everything is on disk.
#[derive(Debug, Args)]
pub(super) struct StopArgs {
    /// Names of the captures.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,

    /// Do not wait until everything is on disk.
    #[arg(long)]
    no_wait: bool,
}

pub(super) async fn stop(context: &Context, arguments: &StopArgs) -> Result<Exit, Error> {
    let options = context.settings.patient_call_options(&context.reason);
    let Answers { answers, exit } =
        each(context, &options, &arguments.names, async |client, name| {
            client.stop(name, arguments.no_wait).await
        })
        .await;
    print_captures(context, &answers, exit)?;
    Ok(exit)
}

/// List captures.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only captures whose names match this glob.
    #[arg(default_value = "", hide_default_value = true)]
    glob: String,

    /// Only captures in this state. Repeatable.
    #[arg(long = "state", value_enum)]
    states: Vec<StateArg>,

    /// Only captures with this label. Repeatable.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = values::label)]
    labels: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StateArg {
    Pending,
    Running,
    Stopping,
    Completed,
    Failed,
    Interrupted,
}

impl From<StateArg> for State {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Pending => Self::Pending,
            StateArg::Running => Self::Running,
            StateArg::Stopping => Self::Stopping,
            StateArg::Completed => Self::Completed,
            StateArg::Failed => Self::Failed,
            StateArg::Interrupted => Self::Interrupted,
        }
    }
}

pub(super) async fn list(context: &Context, arguments: &ListArgs) -> Result<Exit, Error> {
    let states: Vec<_> = arguments.states.iter().copied().map(State::from).collect();
    let labels = arguments.labels.iter().cloned().collect();
    let options = context.settings.call_options(&context.reason);
    let listed = ask(context, &options, async |client, _| {
        client.list(&arguments.glob, &states, &labels).await
    });
    let Answers { answers, exit } = listed.await.flat();
    print_captures(context, &answers, exit)?;
    Ok(exit)
}

/// Show captures in detail.
#[derive(Debug, Args)]
pub(super) struct GetArgs {
    /// Names of the captures.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

pub(super) async fn get(context: &Context, arguments: &GetArgs) -> Result<Exit, Error> {
    let options = context.settings.call_options(&context.reason);
    let Answers { answers, exit } =
        each(context, &options, &arguments.names, async |client, name| {
            client.get(name).await
        })
        .await;
    let several = context.several_nodes();
    output::print(context.format, &answers, || {
        let texts = answers.iter().map(|one| tables::capture(one, several));
        texts.collect::<Vec<_>>().join("\n\n")
    })?;
    Ok(exit)
}

/// Remove ended captures and their files.
#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// Names of the captures.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,

    /// Stop them first if they run.
    #[arg(long)]
    stop: bool,

    /// Keep their files.
    #[arg(long)]
    keep_files: bool,
}

/// The summary of `rm`.
#[derive(Debug, Serialize)]
struct RemovedCapture {
    name: String,
    files_removed: u64,
}

pub(super) async fn remove(context: &Context, arguments: &RemoveArgs) -> Result<Exit, Error> {
    let options = context.settings.patient_call_options(&context.reason);
    let Answers { answers, exit } =
        each(context, &options, &arguments.names, async |client, name| {
            let removed = client.delete(name, arguments.stop, arguments.keep_files);
            let (capture, files_removed) = removed.await?;
            Ok(RemovedCapture {
                name: capture.name,
                files_removed,
            })
        })
        .await;
    output::print(context.format, &answers, || {
        answers
            .iter()
            .map(|OnNode { node, value }| {
                format!(
                    "{} is removed from {node}, with {} files\n",
                    value.name, value.files_removed
                )
            })
            .collect()
    })?;
    Ok(exit)
}

/// Asks every node about each name, one name after the other.
async fn each<T>(
    context: &Context,
    options: &CallOptions,
    names: &[String],
    question: impl AsyncFn(&Client, &str) -> Result<T, ClientError>,
) -> Answers<T> {
    let mut all = Answers {
        answers: Vec::new(),
        exit: Exit::Done,
    };
    for name in names {
        let asked = ask(context, options, async |client, _| {
            question(client, name).await
        });
        let Answers { answers, exit } = asked.await;
        all.answers.extend(answers);
        all.exit = all.exit.and(exit);
    }
    all
}

pub(super) fn print_captures(
    context: &Context,
    captures: &[OnNode<Capture>],
    exit: Exit,
) -> Result<(), Error> {
    output::print_list(context.format, captures, exit, || {
        tables::captures(captures, context.several_nodes())
    })
}

impl Context {
    /// Whether output names the node.
    pub(super) const fn several_nodes(&self) -> bool {
        self.settings.targets.len() > 1
    }
}
