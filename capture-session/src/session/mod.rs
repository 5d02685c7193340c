//! One capture from start to report.

mod control;
mod error;
mod follow;
mod monitor;
mod pods;
mod positions;
mod programs;
mod report;
mod roles;
mod warnings;

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use rtnetlink::Handle;
use tokio::{
    sync::mpsc,
    time::{Instant, interval, sleep_until},
};

use self::{
    control::Command,
    follow::{Followed, FollowedPods, Parts, Wanted},
    programs::Programs,
};
pub use self::{
    control::Control,
    error::SessionError,
    monitor::{InterfaceReport, Monitor},
    report::{EndReason, Report},
};
use crate::{
    attach::{self, Method, Owner, Plan, Promiscuous, QueueDrops},
    filters,
    interfaces::{Interface, Selection, Watch},
};
use capture_kernel::{
    features::Features,
    object::{CaptureObject, ObjectConfig},
    own_traffic::OwnEndpoints,
    ring_fill::RingFill,
    rings::RingSizes,
};
use capture_pipeline::clock::PacketClock;
use capture_pipeline::{
    ExportSink,
    drain::{Drain, DrainState},
    interface_counters::InterfaceCounters,
    recorder::{CHECKPOINT_EVERY, Recorder, RecorderError, RecorderSpec, Statistics},
};
use capture_types::{CaptureSpec, Output, OutputSpec};

/// How often the log of the eBPF programs is read.
const PROGRAM_LOG_INTERVAL: Duration = Duration::from_millis(200);

/// How a capture is run, whatever it captures.
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// How programs are attached; `None` for the best method that the kernel has.
    pub method: Option<Method>,
    /// Whether the eBPF programs log rare events.
    pub log_programs: bool,
    /// The endpoints on which this process listens: connections to them are its own traffic.
    pub own: OwnEndpoints,
    /// The name of the node, for the descriptions of pods' interfaces.
    pub node: Arc<str>,
    /// Retention removes first what this sink has.
    pub export_sink: Option<ExportSink>,
    /// Whether growing files get checkpoints: somebody recovers the capture should the process be killed.
    pub checkpoints: bool,
}

/// A running capture.
pub struct Session {
    spec: CaptureSpec,
    watch: Watch,
    followed: Followed,
    drain: Drain,
    counters: Arc<InterfaceCounters>,
    monitor: Arc<Monitor>,
    deadline: Option<Instant>,
    commands: mpsc::UnboundedReceiver<Command>,
    control: Control,
    program_log: Option<tokio::task::JoinHandle<()>>,
}

impl Session {
    /// Starts a capture. When this returns, the capture is attached to every selected interface that is
    /// present. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// A failed start leaves nothing behind except the directory, if it was created.
    pub async fn start(spec: CaptureSpec, options: SessionOptions) -> Result<Self, SessionError> {
        let system = |doing| move |source| SessionError::System { doing, source };
        let filter = filters::compile(spec.filter.clone()).await?;
        let features = Features::probe()?;
        // Subscribed before the first list, so that no change in between is missed.
        let watch = Watch::new().map_err(system("subscribing to network interfaces"))?;
        let interfaces = watch.list().await?;
        let selection = Selection::new(&spec.interfaces, &interfaces)?;
        let mut pods = spec
            .pods
            .clone()
            .map(|pods| FollowedPods::new(pods, spec.direction, Arc::clone(&options.node)))
            .transpose()
            .map_err(system("opening a socket to look for pods"))?;
        if let Some(pods) = &mut pods {
            pods.look(&interfaces).await;
        }
        let of_pods = pods.is_some();
        let mut wanted = Wanted { selection, pods };
        let hooks = follow::hook_count(&mut wanted, spec.direction, &interfaces);
        let plan = Plan::new(options.method, &features, hooks)?;
        remove_leftovers(watch.netlink()).await;

        let config = ObjectConfig {
            snaplen: spec.snaplen,
            rings: RingSizes::new(spec.ring_size),
            own: options.own,
            include_own: spec.include_own_traffic,
            each_packet_once: spec.each_packet_once,
            log: options.log_programs,
        };
        let (object, maps) = CaptureObject::load(&config, &features)?;
        let programs = Programs::new(object, filter, &spec.targets, of_pods)?;
        let counters = Arc::new(InterfaceCounters::new(maps.counters));
        let statistics = Arc::clone(&counters);
        let recorder = start_recorder(&spec, &options, Box::new(move |id| statistics.read(id)))?;
        let progress = recorder.progress();
        let clock = PacketClock::new(features.tai_clock);
        let ring = RingFill::new(&maps.rings).map_err(system("mapping the ring buffers"))?;
        let drain = Drain::start(
            &maps.rings,
            maps.reader,
            clock,
            recorder,
            Arc::clone(&counters),
        )
        .map_err(system("starting the drain thread"))?;
        let owner = Owner::new().map_err(system("marking this process as the owner"))?;

        let promiscuous = spec
            .promiscuous
            .then(Promiscuous::new)
            .transpose()
            .map_err(system("opening a packet socket for promiscuous mode"))?;
        // Failure is not an error: then there are no warnings about queues.
        let dropped_before = QueueDrops::query(watch.netlink()).await.unwrap_or_default();

        let (control, commands) = Control::new();
        let monitor = Arc::new(Monitor::new(
            Arc::clone(&counters),
            progress,
            Arc::clone(drain.shared()),
            ring,
        ));
        let deadline = spec
            .limits
            .duration
            .map(|duration| Instant::now() + duration);
        let mut session = Self {
            followed: Followed::new(
                &spec,
                wanted,
                plan,
                owner,
                programs,
                promiscuous,
                dropped_before,
            ),
            commands,
            spec,
            watch,
            drain,
            counters,
            monitor,
            deadline,
            control,
            program_log: maps
                .logger
                .map(|logger| tokio::spawn(follow_program_log(logger))),
        };
        if let Err(error) = session.join_all(interfaces).await {
            // The caller has no session yet: the capture ends as if it had not begun.
            let _ = session.end(EndReason::Failed).await;
            return Err(error);
        }
        session.followed.has_started();
        Ok(session)
    }

    /// Joins the interfaces that are present at the start.
    async fn join_all(&mut self, interfaces: Vec<Interface>) -> Result<(), SessionError> {
        let (followed, parts) = self.parts();
        followed.begin_with_pods(parts)?;
        for interface in interfaces {
            followed.present(interface, parts).await?;
        }
        followed.show_pods(parts)
    }

    /// The live counts of the capture.
    #[must_use]
    pub fn monitor(&self) -> Arc<Monitor> {
        Arc::clone(&self.monitor)
    }

    /// Changes the capture while it runs.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// The state shared by the drain thread, with the flag that shortens the capture's end.
    #[must_use]
    pub fn drain_state(&self) -> Arc<DrainState> {
        Arc::clone(self.drain.shared())
    }

    /// Runs the capture until `stop` returns a reason, a limit is reached or writing fails, and ends it:
    /// detach, drain the rings, write, report.
    ///
    /// # Errors
    ///
    /// The drain thread ended by itself.
    pub async fn run(
        mut self,
        stop: impl Future<Output = EndReason>,
    ) -> Result<Report, SessionError> {
        let mut stop = pin!(stop);
        let shared = Arc::clone(self.drain.shared());
        let deadline = self.deadline;
        let reason = loop {
            tokio::select! {
                reason = &mut stop => break reason,
                () = shared.ended.notified() => break EndReason::Packets,
                () = until(deadline) => break EndReason::Duration,
                () = self.followed.pods_due() => {
                    let (followed, parts) = self.parts();
                    followed.look_for_pods(parts).await;
                }
                () = self.followed.positions_changed() => {
                    let (followed, parts) = self.parts();
                    followed.check_positions(parts).await;
                }
                Some(command) = self.commands.recv() => self.execute(command).await,
                change = self.watch.next() => match change {
                    Some(change) => {
                        let (followed, parts) = self.parts();
                        followed.follow(change, parts).await;
                    }
                    None => {
                        tracing::warn!(
                            "the kernel closed the subscription to network interfaces: \
                             interfaces that appear from now on are not captured"
                        );
                        break stop.await;
                    }
                },
            }
        };
        self.end(reason).await
    }

    fn parts(&mut self) -> (&mut Followed, Parts<'_>) {
        let parts = Parts {
            netlink: self.watch.netlink(),
            drain: &self.drain,
            counters: &self.counters,
            monitor: &self.monitor,
        };
        (&mut self.followed, parts)
    }

    async fn execute(&mut self, command: Command) {
        let (followed, parts) = self.parts();
        let (result, reply) = match command {
            Command::SetFilter(filter, reply) => {
                (followed.set_filter(filter, parts.netlink).await, reply)
            }
            Command::SetTargets(targets, reply) => {
                (followed.set_targets(&targets, parts.netlink).await, reply)
            }
            Command::SetPods(pods, reply) => (followed.set_pods(pods, parts).await, reply),
            Command::FinishFile(reply) => (self.drain.finish_file().map_err(Into::into), reply),
        };
        // The caller may have gone away.
        let _ = reply.send(result);
    }

    async fn end(mut self, reason: EndReason) -> Result<Report, SessionError> {
        let (followed, parts) = self.parts();
        followed.check_queues(parts).await;
        let netlink = self.watch.netlink().clone();
        self.followed.detach_all(&netlink, &self.counters).await;
        let finished = self.drain.finish(self.counters.submitted()).await?;
        if let Some(log) = self.program_log.take() {
            log.abort();
        }
        Ok(Report::new(&self.spec, reason, &self.monitor, finished))
    }
}

fn start_recorder(
    spec: &CaptureSpec,
    options: &SessionOptions,
    statistics: Statistics,
) -> Result<Recorder, RecorderError> {
    let with = |output: &OutputSpec| RecorderSpec {
        name: spec.name.clone(),
        output: output.clone(),
        snaplen: spec.snaplen,
        filter: spec.filter.expression.clone(),
        packet_limit: spec.limits.packets,
        export_sink: options.export_sink.clone(),
        export: spec.export.clone(),
        checkpoint_every: options.checkpoints.then_some(CHECKPOINT_EVERY),
    };
    match &spec.output {
        Output::Files(output) => Recorder::start(&with(output), statistics),
        Output::NamedFiles(output, stem) => Recorder::start_named(&with(output), stem, statistics),
        Output::Stream(format) => Recorder::start_stream(
            &spec.name,
            *format,
            spec.snaplen,
            spec.filter.expression.as_deref(),
            spec.limits.packets,
            statistics,
        ),
        Output::Stdout => Recorder::start_lines(&spec.name, spec.limits.packets, statistics),
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Removes what killed recorders have left on any interface, and logs it.
pub async fn remove_leftovers(netlink: &Handle) {
    match attach::remove_leftovers(netlink).await {
        Ok((0, 0)) => {}
        Ok((filters, promiscuous)) => tracing::info!(
            "a killed recorder had left behind: removed {filters} filters, and promiscuous mode of \
             {promiscuous} interfaces"
        ),
        Err(error) => {
            tracing::warn!("could not look for what a killed recorder left: {error}");
        }
    }
}

/// Prints the log of the programs. Messages are rare and not urgent, so they are read periodically.
async fn follow_program_log(mut logger: aya_log::EbpfLogger<&'static dyn log::Log>) {
    let mut reads = interval(PROGRAM_LOG_INTERVAL);
    loop {
        reads.tick().await;
        logger.flush();
    }
}
