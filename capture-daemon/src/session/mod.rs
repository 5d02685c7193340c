//! One capture from its start to its report.

mod book;
mod follow;
mod hooks;
mod report;

use std::{future::Future, io, pin::pin, sync::Arc, time::Duration};

use rtnetlink::Handle;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

pub use self::{
    book::Book,
    report::{EndReason, InterfaceReport, Monitor, Report},
};
use self::{follow::Followed, hooks::Hooks};
use crate::{
    attach::{self, AttachError, Method, Owner, Plan},
    clock::PacketClock,
    interfaces::{InterfaceError, Selection, Watch},
    kernel::{
        counters::CountersError,
        features::{Features, FeaturesError},
        object::{CaptureObject, ObjectConfig, ObjectError},
        ring_fill::RingFill,
        rings::RingSizes,
    },
    pipeline::{
        drain::{Drain, DrainGone, Shared},
        recorder::{Recorder, RecorderError, RecorderSpec, Statistics},
    },
};
use capture_filter::{FilterError, TargetError, kernel::prog_load::LoadError};
use capture_types::{CaptureSpec, FilterSpec, Output, TargetSet};

/// How often is asked whether other programs have come before ours.
const POSITION_INTERVAL: Duration = Duration::from_secs(5);

/// How often is looked for what the eBPF programs log.
const PROGRAM_LOG_INTERVAL: Duration = Duration::from_millis(200);

/// How a capture is run, whatever it captures.
#[derive(Debug, Clone, Copy, Default)]
pub struct SessionOptions {
    /// How programs are attached; the best method that the kernel has if `None`.
    pub method: Option<Method>,
    /// Whether the eBPF programs log what is rare.
    pub log_programs: bool,
}

/// A capture could not be started, or could not be ended in order.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// This kernel or this process cannot capture.
    #[error(transparent)]
    Features(#[from] FeaturesError),
    /// The interfaces asked for are not there.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// The eBPF object.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The counters in the kernel.
    #[error(transparent)]
    Counters(#[from] CountersError),
    /// The filter cannot be compiled.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The targets cannot be put into their maps.
    #[error(transparent)]
    Targets(#[from] TargetError),
    /// The kernel refused the filter's program.
    #[error("the filter cannot be used: {0}")]
    FilterProgram(#[from] LoadError),
    /// The capture has ended.
    #[error("the capture has ended")]
    Ended,
    /// Attaching.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The files.
    #[error(transparent)]
    Recorder(#[from] RecorderError),
    /// rtnetlink(7).
    #[error("the kernel could not be asked for its network interfaces: {0}")]
    Netlink(#[from] rtnetlink::Error),
    /// Everything else that the system refuses.
    #[error("{doing}: {source}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The drain thread is gone.
    #[error(transparent)]
    Drain(#[from] DrainGone),
}

type Done = oneshot::Sender<Result<(), SessionError>>;

/// What a running capture can be told.
enum Order {
    SetFilter(FilterSpec, Done),
    SetTargets(TargetSet, Done),
}

/// Tells a running capture what to change; from any task.
#[derive(Debug, Clone)]
pub struct Control(mpsc::UnboundedSender<Order>);

impl Control {
    /// Replaces the filter without losing or doubling a packet that both filters match. When this
    /// fails the old filter is in force, unless the kernel refused half-way, which the error says.
    pub async fn set_filter(&self, filter: FilterSpec) -> Result<(), SessionError> {
        self.tell(|done| Order::SetFilter(filter, done)).await
    }

    /// Replaces the targets. Those that stay are never missed, and unless hosts or ports are given
    /// where there were none before, or the reverse, no program is exchanged for it.
    pub async fn set_targets(&self, targets: TargetSet) -> Result<(), SessionError> {
        self.tell(|done| Order::SetTargets(targets, done)).await
    }

    async fn tell(&self, order: impl FnOnce(Done) -> Order) -> Result<(), SessionError> {
        let (reply, done) = oneshot::channel();
        self.0.send(order(reply)).map_err(|_| SessionError::Ended)?;
        done.await.map_err(|_| SessionError::Ended)?
    }
}

/// A running capture.
pub struct Session {
    spec: CaptureSpec,
    watch: Watch,
    selection: Selection,
    followed: Followed,
    drain: Drain,
    book: Arc<Book>,
    monitor: Arc<Monitor>,
    deadline: Option<Instant>,
    orders: mpsc::UnboundedReceiver<Order>,
    control: Control,
    program_log: Option<tokio::task::JoinHandle<()>>,
}

impl Session {
    /// Starts a capture: when this returns it is attached to every interface that was asked for and
    /// is there. Must be called within a tokio runtime. What fails leaves nothing behind but the
    /// directory, if that had to be made.
    pub async fn start(spec: CaptureSpec, options: SessionOptions) -> Result<Self, SessionError> {
        let system = |doing| move |source| SessionError::System { doing, source };
        let features = Features::probe()?;
        // Subscribed before the first list, so that nothing that happens in between is missed.
        let watch = Watch::new().map_err(system("subscribing to network interfaces"))?;
        let interfaces = watch.list().await?;
        let mut selection = Selection::new(&spec.interfaces, &interfaces)?;
        let count = follow::hooks(&mut selection, spec.direction, &interfaces);
        let plan = Plan::new(options.method, &features, count)?;
        remove_leftovers(watch.netlink()).await;

        let config = ObjectConfig {
            snaplen: spec.snaplen,
            rings: RingSizes::new(spec.ring_size),
            log: options.log_programs,
        };
        let (object, maps) = CaptureObject::load(&config, &features)?;
        let hooks = Hooks::new(object, &spec.filter, &spec.targets)?;
        let book = Arc::new(Book::new(maps.counters));
        let statistics = Arc::clone(&book);
        let recorder = start_recorder(&spec, Box::new(move |id| statistics.read(id)))?;
        let progress = recorder.progress();
        let clock = PacketClock::new(features.tai_clock);
        let ring = RingFill::new(&maps.rings).map_err(system("mapping the ring buffers"))?;
        let drain = Drain::start(&maps.rings, clock, recorder, Arc::clone(&book))
            .map_err(system("starting the drain thread"))?;
        let owner = Owner::new().map_err(system("marking this process as the owner"))?;

        let (orders, orders_received) = mpsc::unbounded_channel();
        let monitor = Arc::new(Monitor::new(
            Arc::clone(&book),
            progress,
            Arc::clone(drain.shared()),
            ring,
        ));
        let deadline = spec
            .limits
            .duration
            .map(|duration| Instant::now() + duration);
        let mut session = Self {
            followed: Followed::new(plan, owner, hooks, &spec),
            orders: orders_received,
            spec,
            watch,
            selection,
            drain,
            book,
            monitor,
            deadline,
            control: Control(orders),
            program_log: maps
                .logger
                .map(|logger| tokio::spawn(follow_program_log(logger))),
        };
        for interface in interfaces {
            if let Err(error) = session.present(interface).await {
                // Nothing was promised yet: leave as if nothing had been.
                let _ = session.end(EndReason::Failed).await;
                return Err(error);
            }
        }
        session.followed.has_started();
        Ok(session)
    }

    /// What can be watched while the capture runs.
    #[must_use]
    pub fn monitor(&self) -> Arc<Monitor> {
        Arc::clone(&self.monitor)
    }

    /// What the capture can be told while it runs.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// What the drain thread shows, and the flag that cuts the capture's end short.
    #[must_use]
    pub fn abort(&self) -> Arc<Shared> {
        Arc::clone(self.drain.shared())
    }

    /// Runs the capture until `stop` says why it should end, a limit is reached or writing fails,
    /// and ends it: detach, drain to empty, write out, report.
    pub async fn run(
        mut self,
        stop: impl Future<Output = EndReason>,
    ) -> Result<Report, SessionError> {
        let mut stop = pin!(stop);
        let shared = Arc::clone(self.drain.shared());
        let mut position = interval(POSITION_INTERVAL);
        position.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let deadline = self.deadline;
        let reason = loop {
            tokio::select! {
                reason = &mut stop => break reason,
                () = shared.ended.notified() => break EndReason::Packets,
                () = until(deadline) => break EndReason::Duration,
                _ = position.tick() => self.followed.check_position(),
                Some(order) = self.orders.recv() => self.obey(order).await,
                change = self.watch.next() => match change {
                    Some(change) => self.follow(change).await,
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

    async fn obey(&mut self, order: Order) {
        let netlink = self.watch.netlink();
        let (result, reply) = match order {
            Order::SetFilter(filter, reply) => {
                (self.followed.set_filter(filter, netlink).await, reply)
            }
            Order::SetTargets(targets, reply) => {
                (self.followed.set_targets(&targets, netlink).await, reply)
            }
        };
        // Whoever asked may have gone away.
        let _ = reply.send(result);
    }

    async fn end(mut self, reason: EndReason) -> Result<Report, SessionError> {
        let netlink = self.watch.netlink().clone();
        self.followed.detach_all(&netlink, &self.book).await;
        let finished = self.drain.finish(self.book.submitted()).await?;
        if let Some(log) = self.program_log.take() {
            log.abort();
        }
        Ok(Report::new(&self.spec, reason, &self.monitor, finished))
    }
}

fn start_recorder(spec: &CaptureSpec, statistics: Statistics) -> Result<Recorder, RecorderError> {
    match &spec.output {
        Output::Files(output) => {
            let spec = RecorderSpec {
                name: spec.name.clone(),
                output: output.clone(),
                snaplen: spec.snaplen,
                filter: spec.filter.expression.clone(),
                packet_limit: spec.limits.packets,
            };
            Recorder::start(&spec, statistics)
        }
        Output::Stdout => Recorder::start_lines(&spec.name, spec.limits.packets, statistics),
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Removes the filters that killed recorders have left on any interface, and says so.
pub async fn remove_leftovers(netlink: &Handle) {
    match attach::remove_leftovers(netlink).await {
        Ok(0) => {}
        Ok(removed) => {
            tracing::info!("removed {removed} filters that a killed recorder had left behind");
        }
        Err(error) => {
            tracing::warn!("could not look for filters that a killed recorder left: {error}");
        }
    }
}

/// Prints what the programs log. It is rare and nobody waits for it, so it is looked for now and then.
async fn follow_program_log(mut logger: aya_log::EbpfLogger<&'static dyn log::Log>) {
    let mut looks = interval(PROGRAM_LOG_INTERVAL);
    loop {
        looks.tick().await;
        logger.flush();
    }
}
