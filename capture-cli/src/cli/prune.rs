//! `capturectl prune`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use capture_types::values;
use clap::Args;

use super::{
    Context,
    answers::{Answers, ask},
    exit::{Error, Exit},
    output, tables,
};
use capture_client::{ClientError, model::File};

/// Remove finished files of a capture, the oldest first, on every node.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("rule").required(true).multiple(true))]
pub(super) struct PruneArgs {
    /// Name of the capture.
    name: String,

    /// Files whose last packet is older than this.
    #[arg(long, group = "rule", value_name = "DURATION", value_parser = values::duration)]
    older_than: Option<Duration>,

    /// All files but the newest N on each node; 0 removes all.
    #[arg(long, group = "rule", value_name = "N")]
    keep: Option<usize>,

    /// The oldest files, until the rest is no larger than this on each node.
    #[arg(long, group = "rule", value_name = "SIZE", value_parser = values::size)]
    keep_bytes: Option<u64>,

    /// Only list the files.
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
Examples:
  capturectl prune web --older-than 7days
  capturectl prune web --keep 10 --dry-run";

pub(super) async fn run(context: &Context, arguments: &PruneArgs) -> Result<Exit, Error> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let options = context.settings.call_options(&context.reason);
    let asked = ask(context, &options, async |client, _| {
        let listing = client.files(&arguments.name).await?;
        let mut removed = Vec::new();
        for file in arguments.chosen(listing.files, now) {
            if !arguments.dry_run {
                match client.delete_file(&arguments.name, &file.name).await {
                    Ok(_) => {}
                    // Retention was faster.
                    Err(ClientError::NotFound(_)) => continue,
                    Err(error) => return Err(error),
                }
            }
            removed.push(file);
        }
        Ok(removed)
    });
    let Answers { answers, exit } = asked.await.flat();
    let several = context.several_nodes();
    output::print_list(context.format, &answers, exit, || {
        let bytes = answers.iter().map(|answer| answer.value.bytes).sum();
        let done = if arguments.dry_run {
            "would be removed"
        } else {
            "removed"
        };
        format!(
            "{}\n{} files with {} {done}\n",
            tables::files(&answers, several).trim_end(),
            answers.len(),
            tables::size(bytes)
        )
    })?;
    Ok(exit)
}

impl PruneArgs {
    /// The files to remove: those that any of the rules selects. `files` has the oldest first.
    fn chosen(&self, files: Vec<File>, now: Duration) -> Vec<File> {
        let whole: Vec<_> = files.into_iter().filter(File::is_whole).collect();
        let count = whole.len();
        let mut bytes_left: u64 = whole.iter().map(|file| file.bytes).sum();
        let mut chosen = Vec::new();
        for (number, file) in whole.into_iter().enumerate() {
            let too_old = self.older_than.is_some_and(|age| {
                // Without a packet there is no age, and nothing to miss either.
                let last = file.last_time.or(file.first_time);
                last.is_none_or(|last| now.saturating_sub(last.into_duration()) > age)
            });
            let too_many = self.keep.is_some_and(|keep| count - number > keep);
            let too_much = self.keep_bytes.is_some_and(|keep| bytes_left > keep);
            bytes_left -= file.bytes;
            if too_old || too_many || too_much {
                chosen.push(file);
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use capture_client::model::{Codec, FileState, Time};
    use capture_types::Format;

    fn file(sequence: u64, state: FileState) -> File {
        File {
            capture: "web".to_owned(),
            name: format!("web-{sequence}"),
            sequence,
            state,
            format: Some(Format::Pcapng),
            codec: Codec::None,
            bytes: 100,
            bytes_uncompressed: None,
            packets: Some(1),
            first_time: None,
            last_time: Time::since_epoch(Duration::from_secs(sequence * 60)),
            digest: None,
            link_types: Vec::new(),
            end_reason: None,
            ledger: None,
        }
    }

    fn chosen(arguments: &PruneArgs) -> Vec<u64> {
        let mut files: Vec<_> = (1..=5).map(|n| file(n, FileState::Finished)).collect();
        files[0].state = FileState::Recovered;
        files.push(file(6, FileState::Growing));
        let chosen = arguments.chosen(files, Duration::from_secs(360));
        chosen.iter().map(|file| file.sequence).collect()
    }

    const NONE: PruneArgs = PruneArgs {
        name: String::new(),
        older_than: None,
        keep: None,
        keep_bytes: None,
        dry_run: false,
    };

    #[test]
    fn the_oldest_go_first_and_the_growing_file_never() {
        let keep = |keep| {
            chosen(&PruneArgs {
                keep: Some(keep),
                ..NONE
            })
        };
        assert_eq!(keep(2), [1, 2, 3]);
        assert_eq!(keep(0), [1, 2, 3, 4, 5]);
        assert_eq!(keep(9), [] as [u64; 0]);
        let older_than = Some(Duration::from_secs(181));
        assert_eq!(chosen(&PruneArgs { older_than, ..NONE }), [1, 2]);
        let keep_bytes = Some(250);
        assert_eq!(chosen(&PruneArgs { keep_bytes, ..NONE }), [1, 2, 3]);
    }
}
