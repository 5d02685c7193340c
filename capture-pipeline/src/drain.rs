//! The drain loop: from the ring buffers to the recorder, on a dedicated thread.

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use capture_common::{DIRECTION_EGRESS, RECORD_OWN, RecordHeader};
use crossbeam_channel::{Receiver, Sender, unbounded};
use tokio::sync::{Notify, oneshot};

use super::{
    clock::PacketClock,
    encode::{Encoding, Pcap, Pcapng},
    idle::Idle,
    interface_counters::InterfaceCounters,
    interfaces::Interfaces,
    packet::{InterfaceDescription, InterfaceId, Packet},
    recorder::{Finished, Recorder},
    ring::{Ring, Waker},
    tap::{Feeds, Taps},
};
use capture_kernel::{reader::ReaderFlag, rings::RingMaps};
use capture_types::{Direction, Discarded, Format};

/// Up to this many records are taken before commands and clocks are checked.
const BATCH: usize = 4096;

/// The longest that a packet waits in a ring buffer that does not fill.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// How often the recorder's tick is called.
const TICK: Duration = Duration::from_millis(100);

/// Pause when no block is free; a writer that is behind frees one about this often.
const BACKLOG_WAIT: Duration = Duration::from_micros(200);

/// When stopping, the ring buffer must deliver all records that the programs counted within this
/// time.
const LAST_RECORDS_WAIT: Duration = Duration::from_secs(2);

enum Command {
    AddInterface(InterfaceDescription, oneshot::Sender<InterfaceId>),
    /// This interface has left, with final counts.
    RetireInterface(InterfaceId),
    /// Replaces the names of addresses from now on.
    SetNames(Vec<(IpAddr, String)>),
    /// Finish the files that are being written; the next packets begin new ones.
    FinishFile,
    /// Take up to this many records in all, then finish.
    Finish {
        submitted: Option<u64>,
    },
}

/// The running drain thread, as the session sees it.
pub struct Drain {
    thread: JoinHandle<Finished>,
    commands: Sender<Command>,
    waker: Waker,
    shared: Arc<DrainState>,
}

/// State of the drain thread that others read, and requests to it.
#[derive(Debug, Default)]
pub struct DrainState {
    /// Signalled once when the capture should end: a limit was reached or writing failed.
    pub ended: Notify,
    /// Records taken from the ring buffer.
    pub taken: AtomicU64,
    /// The live readers.
    pub taps: Taps,
    /// Packets written and not written, by [`InterfaceId`]; set at each tick.
    pub outcomes: Mutex<Vec<(u64, Discarded)>>,
    /// Packets after which no more are taken; `u64::MAX` for no limit. Checked at each tick.
    pub packet_limit: AtomicU64,
    /// Ticks so far.
    ticks: AtomicU64,
    /// Whether the thread sleeps until a packet comes, a deadline is due or somebody wakes it.
    sleeps: AtomicBool,
    /// Wakes the thread.
    waker: OnceLock<Waker>,
    /// Set to skip work that the end of a capture can do without: digests, compression after
    /// rotation.
    pub abort: AtomicBool,
}

impl DrainState {
    /// Changes the number of packets after which no more are taken; `u64::MAX` for no limit.
    pub fn set_packet_limit(&self, limit: u64) {
        self.packet_limit.store(limit, Relaxed);
        if let Some(waker) = self.waker.get() {
            waker.wake();
        }
    }

    /// A number that grows at least every 200 ms as long as the thread is healthy. `waiting` says
    /// whether packets wait in the ring: a thread that sleeps although packets wait is not healthy.
    pub fn ticks(&self, waiting: bool) -> u64 {
        if self.sleeps.load(Relaxed) && !waiting {
            self.ticks.fetch_add(1, Relaxed)
        } else {
            self.ticks.load(Relaxed)
        }
    }
}

/// The drain thread is gone, which only a bug can cause.
#[derive(Debug, thiserror::Error)]
#[error("the drain thread ended unexpectedly; finished files are whole")]
pub struct DrainGone;

impl Drain {
    /// Starts the thread.
    pub fn start(
        rings: &RingMaps,
        reader: ReaderFlag,
        clock: PacketClock,
        recorder: Recorder,
        counters: Arc<InterfaceCounters>,
    ) -> io::Result<Self> {
        let (ring, waker) = Ring::new(rings)?;
        let (commands, received) = unbounded();
        let shared = Arc::new(DrainState {
            packet_limit: AtomicU64::new(recorder.packet_limit()),
            waker: OnceLock::from(waker.clone()),
            ..DrainState::default()
        });
        let state = State {
            ring,
            clock,
            recorder,
            counters,
            commands: received,
            interfaces: Interfaces::default(),
            shared: Arc::clone(&shared),
            feeds: Feeds::default(),
            taken: 0,
            settled: 0,
            idle: Idle::new(reader),
            ended: false,
        };
        let thread = thread::Builder::new()
            .name("drain".to_owned())
            .spawn(|| state.run())?;
        Ok(Self {
            thread,
            commands,
            waker,
            shared,
        })
    }

    /// Registers an interface; its packets may come once this has returned.
    pub async fn add_interface(
        &self,
        description: InterfaceDescription,
    ) -> Result<InterfaceId, DrainGone> {
        let (reply, added) = oneshot::channel();
        let command = Command::AddInterface(description, reply);
        self.commands.send(command).map_err(|_| DrainGone)?;
        self.waker.wake();
        added.await.map_err(|_| DrainGone)
    }

    /// An interface has left the capture: nothing is attached to it, and its counters are closed.
    pub fn retire_interface(&self, id: InterfaceId) -> Result<(), DrainGone> {
        let command = Command::RetireInterface(id);
        self.commands.send(command).map_err(|_| DrainGone)?;
        self.waker.wake();
        Ok(())
    }

    /// Replaces the names of addresses for files and readers from now on.
    pub fn set_names(&self, names: Vec<(IpAddr, String)>) -> Result<(), DrainGone> {
        self.commands
            .send(Command::SetNames(names))
            .map_err(|_| DrainGone)?;
        self.waker.wake();
        Ok(())
    }

    /// Finishes the open files; the next packets begin new ones.
    pub fn finish_file(&self) -> Result<(), DrainGone> {
        self.commands
            .send(Command::FinishFile)
            .map_err(|_| DrainGone)?;
        self.waker.wake();
        Ok(())
    }

    /// The thread's shared state.
    #[must_use]
    pub fn shared(&self) -> &Arc<DrainState> {
        &self.shared
    }

    /// Takes the last records, up to the number that the programs say they have submitted, writes
    /// everything out and ends. Nothing may be attached any more.
    pub async fn finish(self, submitted: Option<u64>) -> Result<Finished, DrainGone> {
        self.commands
            .send(Command::Finish { submitted })
            .map_err(|_| DrainGone)?;
        self.waker.wake();
        tokio::task::spawn_blocking(|| self.thread.join())
            .await
            .map_err(|_| DrainGone)?
            .map_err(|_| DrainGone)
    }
}

struct State {
    ring: Ring,
    clock: PacketClock,
    recorder: Recorder,
    counters: Arc<InterfaceCounters>,
    commands: Receiver<Command>,
    interfaces: Interfaces,
    shared: Arc<DrainState>,
    feeds: Feeds,
    taken: u64,
    /// Packets taken whose outcome is known.
    settled: u64,
    idle: Idle,
    ended: bool,
}

impl State {
    fn run(mut self) -> Finished {
        let mut next_tick = Instant::now();
        let mut finish = None;
        loop {
            self.clock.update();
            let taken = self.take_batch();
            if taken > 0 {
                self.idle.end();
            }
            self.shared.taken.store(self.taken, Relaxed);
            let now = Instant::now();
            if now >= next_tick {
                next_tick = now + TICK;
                self.tick();
            }
            if taken >= BATCH {
                continue;
            }
            if finish.is_none() {
                finish = self.obey();
            }
            match &finish {
                Some(last) if !self.recorder.is_backlogged() && last.is_done(self.taken, now) => {
                    break;
                }
                _ if self.recorder.is_backlogged() => thread::sleep(BACKLOG_WAIT),
                Some(_) => thread::sleep(Duration::from_millis(1)),
                None => self.wait(taken, now),
            }
        }
        self.recorder.finish(&self.shared.abort)
    }

    /// Waits for packets. When no packets come and nothing else is due, the thread sleeps until it is
    /// woken.
    fn wait(&mut self, taken: usize, now: Instant) {
        let next_tick = self.recorder.next_tick();
        let at_rest = taken == 0
            && self.settled == self.taken
            && next_tick.is_none_or(|next| next > LONGEST_WAIT);
        let sleeps = at_rest && self.idle.may_sleep(now);
        self.shared.sleeps.store(sleeps, Relaxed);
        let longest = if sleeps {
            next_tick
        } else {
            Some(LONGEST_WAIT)
        };
        // Without the wait the thread would spin; without the ring it could not run.
        if self.ring.wait(longest).is_err() {
            thread::sleep(LONGEST_WAIT);
        }
        if sleeps {
            self.shared.sleeps.store(false, Relaxed);
            self.clock.update();
            self.tick();
        }
    }

    /// Takes records until there are none, the batch is full or the writer is behind; the ring
    /// buffer then keeps the records for which there is no block.
    fn take_batch(&mut self) -> usize {
        self.feeds.update(&self.shared.taps);
        let mut taken = 0;
        while taken < BATCH && !self.recorder.is_backlogged() {
            let mut more = match self.recorder.format() {
                Format::Pcapng => self.take_quickly::<Pcapng>(),
                Format::Pcap => self.take_quickly::<Pcap>(),
                Format::Text => 0,
            };
            if more == 0 {
                more = self.take_one();
            }
            if more == 0 {
                break;
            }
            taken += more;
        }
        self.feeds.flush();
        self.taken += taken as u64;
        taken
    }

    /// Takes records that only need to be copied into the open block.
    ///
    /// A separate function, so that the loop's state stays in registers.
    #[inline(never)]
    fn take_quickly<E: Encoding>(&mut self) -> usize {
        let Self {
            ring,
            clock,
            recorder,
            interfaces,
            feeds,
            ..
        } = self;
        let Some(mut block_writer) = interfaces
            .latest
            .and_then(|(_, id)| recorder.block_writer::<E>(id))
        else {
            return 0;
        };
        let clock = *clock;
        let mut run = ring.run();
        while let Some((header, bytes)) = run.packet()
            && let Some(interface) = interfaces.known(header.ifindex)
        {
            let packet = packet(&header, bytes, interface, &clock);
            if !block_writer.put(&packet) {
                break;
            }
            show(feeds, &header, &packet);
            run.advance();
        }
        run.settle();
        block_writer.settle() as usize
    }

    /// Takes one record, whatever it requires; 0 if there is none.
    fn take_one(&mut self) -> usize {
        let Self {
            ring,
            clock,
            recorder,
            interfaces,
            counters,
            shared,
            feeds,
            ..
        } = self;
        let mut run = ring.run();
        let Some((header, bytes)) = run.packet() else {
            return 0;
        };
        let interface = interfaces.find(&header, recorder, counters, &shared.taps);
        let packet = packet(&header, bytes, interface, clock);
        recorder.packet(&packet);
        show(feeds, &header, &packet);
        run.advance();
        run.settle();
        1
    }

    fn tick(&mut self) {
        let Self {
            recorder, clock, ..
        } = self;
        recorder.set_packet_limit(self.shared.packet_limit.load(Relaxed));
        recorder.tick(clock.now());
        self.shared.ticks.fetch_add(1, Relaxed);
        let mut outcomes = self
            .shared
            .outcomes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        recorder.copy_outcomes(&mut outcomes);
        self.settled = outcomes
            .iter()
            .map(|(written, discarded)| written + discarded.total())
            .sum();
        drop(outcomes);
        if !self.ended && (recorder.limit_reached() || recorder.failure().is_some()) {
            self.ended = true;
            self.shared.ended.notify_one();
        }
    }

    /// Executes the session's commands. The ring has just been emptied, so records from now on
    /// belong to the interfaces as they are now.
    fn obey(&mut self) -> Option<Last> {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::AddInterface(description, reply) => {
                    // The next tick describes it in the file.
                    self.idle.end();
                    let ifindex = description.ifindex;
                    self.shared.taps.add_interface(description.clone());
                    let id = self.recorder.add_interface(description);
                    self.interfaces.set(ifindex, id);
                    // The session no longer waits for the reply when it is being dropped.
                    let _ = reply.send(id);
                }
                Command::RetireInterface(id) => self.recorder.retire_interface(id),
                Command::SetNames(names) => {
                    // The next tick writes them into the file.
                    self.idle.end();
                    self.shared.taps.set_names(names.clone());
                    self.recorder.set_names(names);
                }
                Command::FinishFile => self.recorder.finish_file(),
                Command::Finish { submitted } => {
                    return Some(Last {
                        submitted,
                        until: Instant::now() + LAST_RECORDS_WAIT,
                    });
                }
            }
        }
        None
    }
}

/// Copies a packet for the live readers, unless it is one of the daemon's own: a packet of a stream
/// that is itself streamed would cause another one, without end.
#[inline(always)]
fn show(feeds: &mut Feeds, header: &RecordHeader, packet: &Packet<'_>) {
    if header.flags & RECORD_OWN == 0 {
        feeds.push(packet);
    }
}

/// A record as a packet.
#[inline(always)]
fn packet<'a>(
    header: &RecordHeader,
    bytes: &'a [u8],
    interface: InterfaceId,
    clock: &PacketClock,
) -> Packet<'a> {
    Packet {
        timestamp: clock.utc(header.timestamp),
        interface,
        direction: if header.direction == DIRECTION_EGRESS {
            Direction::Out
        } else {
            Direction::In
        },
        packet_type: header.packet_type,
        original_length: header.original_length,
        bytes,
    }
}

/// When to end after everything is detached.
struct Last {
    submitted: Option<u64>,
    until: Instant,
}

impl Last {
    /// Whether the empty ring is final. A clsact filter can still be at work on its last packet.
    fn is_done(&self, taken: u64, now: Instant) -> bool {
        self.submitted.is_none_or(|submitted| taken >= submitted) || now >= self.until
    }
}
