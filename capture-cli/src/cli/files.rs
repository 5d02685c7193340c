//! `capturectl files`.

use std::cell::RefCell;

use capture_args::console::tell;
use clap::Args;

use super::{
    Context,
    answers::{Answers, ask},
    exit::{Error, Exit},
    output, tables,
};

/// List the files of a capture, the oldest first.
#[derive(Debug, Args)]
pub(super) struct FilesArgs {
    /// Name of the capture.
    name: String,
}

pub(super) async fn run(context: &Context, arguments: &FilesArgs) -> Result<Exit, Error> {
    let options = context.settings.call_options(&context.reason);
    let removed = RefCell::new(Vec::new());
    let asked = ask(context, &options, async |client, target| {
        let listing = client.files(&arguments.name).await?;
        if listing.removed.files > 0 {
            removed.borrow_mut().push((target.label(), listing.removed));
        }
        Ok(listing.files)
    });
    let Answers { answers, exit } = asked.await.flat();
    let several = context.several_nodes();
    output::print_list(context.format, &answers, exit, || {
        tables::files(&answers, several)
    })?;
    for (node, removed) in removed.into_inner() {
        tell(format_args!(
            "{node}: {} older files with {} packets ({}) were removed by retention",
            removed.files,
            removed.packets,
            tables::size(removed.bytes)
        ));
    }
    Ok(exit)
}
