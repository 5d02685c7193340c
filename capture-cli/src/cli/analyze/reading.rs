//! One pass over the files, with a filter, a progress bar and whoever else looks at the packets.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal as _},
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use capture_analysis::{
    Analysis, Filter, Hooks, Inputs, Packet, Progress, Settings, Source, analyse,
    crossing::{Capture, Comparison},
    report::Report,
};
use capture_client::model::Time;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{AnalyzeArgs, outputs};
use crate::cli::exit::Error;

/// Frames of findings that are kept in memory for --extract.
pub(super) const KEPT_FRAMES: usize = 4 << 20;

/// How files are read.
pub(super) struct Reading {
    settings: Settings,
    filter: Option<Filter>,
    from: Option<u64>,
    to: Option<u64>,
    kept_frames: usize,
}

impl Reading {
    pub(super) fn new(arguments: &AnalyzeArgs, filter: Option<Filter>) -> Self {
        let mut settings = Settings::default();
        for hint in &arguments.without {
            settings.hints.without(*hint);
        }
        let exact = arguments.extract.is_some() && !arguments.whole_flow;
        Self {
            settings,
            filter,
            from: nanoseconds(arguments.from),
            to: nanoseconds(arguments.to),
            kept_frames: if exact { KEPT_FRAMES } else { 0 },
        }
    }

    /// The report on files; conspicuous frames are also written, a line each.
    pub(super) fn analysed(
        &mut self,
        inputs: &Inputs,
        frames: Option<&mut BufWriter<File>>,
    ) -> Result<Report, Error> {
        self.read(inputs, frames, |_| {})
    }

    /// The report on one of two captures that are compared.
    pub(super) fn compared(
        &mut self,
        inputs: &Inputs,
        capture: Capture,
        comparison: &mut Comparison,
    ) -> Result<Report, Error> {
        self.read(inputs, None, |packet| comparison.packet(capture, packet))
    }

    fn read(
        &mut self,
        inputs: &Inputs,
        frames: Option<&mut BufWriter<File>>,
        mut look: impl FnMut(&Packet<'_>),
    ) -> Result<Report, Error> {
        let mut analysis = Analysis::new(&self.settings);
        // The sink must be `'static`: lines are gathered here and written between packets.
        let lines = Arc::new(Mutex::new(Vec::new()));
        if frames.is_some() {
            let lines = Arc::clone(&lines);
            analysis = analysis.with_frames(Box::new(move |packet, flags| {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.push((packet.file, packet.frame, flags));
            }));
        }
        let names = inputs.names();
        let mut sink = frames.map(|file| outputs::Frames::new(file, &names, Arc::clone(&lines)));
        let mut failed = None;
        let bar = Bar::new(inputs.bytes);
        let (from, to) = (self.from, self.to);
        let filter = &mut self.filter;
        let mut hooks = Hooks {
            recorder: inputs.recorder.clone(),
            kept_frames: self.kept_frames,
            ..Hooks::default()
        };
        hooks.filter = Box::new(move |packet: &Packet<'_>| {
            let wanted = from.is_none_or(|from| packet.timestamp >= from)
                && to.is_none_or(|to| packet.timestamp < to)
                && filter.as_mut().is_none_or(|filter| filter.matches(packet));
            if wanted {
                look(packet);
            }
            wanted
        });
        hooks.progress = Box::new(|progress| {
            bar.set(progress);
            if let Some(sink) = &mut sink
                && let Err(error) = sink.write()
            {
                failed = Some(error);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        let files = inputs.files.iter().zip(&names).map(|(path, name)| {
            let source = File::open(path).map(|input| Source {
                name: name.clone(),
                input: Box::new(input),
            });
            (name.clone(), source)
        });
        let mut report = analyse(analysis, files, &mut hooks);
        drop(hooks);
        if let Some(sink) = &mut sink {
            sink.write()?;
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        bar.clear();
        report.notes.extend(inputs.notes.iter().cloned());
        Ok(report)
    }
}

fn nanoseconds(time: Option<Time>) -> Option<u64> {
    time.and_then(|time| u64::try_from(time.into_duration().as_nanos()).ok())
}

/// A progress bar on stderr, if the reading takes longer than a second.
struct Bar {
    bar: ProgressBar,
    begun: Instant,
}

impl Bar {
    fn new(bytes: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(
            "{bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}",
        ) {
            bar.set_style(style);
        }
        Self {
            bar,
            begun: Instant::now(),
        }
    }

    fn set(&self, progress: Progress) {
        let shown = self.begun.elapsed() >= Duration::from_millis(900);
        if shown && self.bar.is_hidden() && io::stderr().is_terminal() {
            self.bar
                .set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
        }
        self.bar.set_position(progress.bytes);
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
