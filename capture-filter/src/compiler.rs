//! Compiles expressions from outside in a separate process, which is confined and can be killed: libpcap's
//! time grows with at least the square of an expression's length, and there is no other way to stop it.
//!
//! The process is this program again, with an argument that [`run_if_asked`] recognizes. It has no
//! capabilities, no network, no descriptors except its pipes, and limits of CPU time, memory and wall
//! time.

use std::{
    collections::VecDeque,
    ffi::OsString,
    io::{self, Read as _, Write as _},
    net::IpAddr,
    os::unix::process::ExitStatusExt as _,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

use pcap::Linktype;
use serde::de::DeserializeOwned;

use self::child::{Compiled, Request, Resolved};
use super::{
    CompiledFilter,
    compile::named,
    compiled::{ClassicPrograms, Expressions},
    error::{FilterError, MAX_COMPILE_TIME, MAX_NAMES, Place},
    libpcap,
};
use capture_types::FilterSpec;

mod child;
mod confine;
mod names;

pub use child::run_if_asked;

/// Time limit for resolving one host name.
const MAX_RESOLVE_TIME: Duration = Duration::from_secs(5);
/// Concurrent processes.
const MAX_PROCESSES: usize = 2;
/// Maximum length of an answer: a few programs of 4,096 instructions as JSON.
const MAX_ANSWER: u64 = 4 << 20;
/// Filters in the cache: a request is checked, then its capture is started.
const REMEMBERED: usize = 32;

/// Compiles filters in confined processes, at most two at a time, and caches the last results.
#[derive(Debug)]
pub struct Compiler {
    /// The program to run; `None` to compile in this process.
    program: Option<OsString>,
    resolve_names: bool,
    longest: Duration,
    remembered: Mutex<VecDeque<(Expressions, Arc<ClassicPrograms>)>>,
    running: Mutex<usize>,
    ended: Condvar,
}

impl Compiler {
    /// A compiler that runs this program again, whose `main` calls [`run_if_asked`] first. With
    /// `resolve_names`, host names in expressions are resolved, for 5 s each at most.
    #[must_use]
    pub fn new(resolve_names: bool) -> Self {
        // The link leads to the running executable, also after an upgrade has replaced the file.
        Self::with_program("/proc/self/exe", resolve_names)
    }

    /// A compiler that runs another program, whose `main` calls [`run_if_asked`] first.
    #[must_use]
    pub fn with_program(program: impl Into<OsString>, resolve_names: bool) -> Self {
        Self {
            program: Some(program.into()),
            resolve_names,
            ..Self::in_this_process()
        }
    }

    /// A compiler without a separate process and time limits: for tests and for trusted
    /// expressions.
    #[must_use]
    pub fn in_this_process() -> Self {
        Self {
            program: None,
            resolve_names: false,
            longest: MAX_COMPILE_TIME,
            remembered: Mutex::default(),
            running: Mutex::default(),
            ended: Condvar::new(),
        }
    }

    /// Compiles a filter for the link types of captures. Blocks meanwhile.
    ///
    /// # Errors
    ///
    /// What is wrong with the expression, and where; or the limit that it exceeds.
    pub fn compile(&self, spec: &FilterSpec) -> Result<CompiledFilter, FilterError> {
        self.compile_for(spec, &Expressions::captured()?)
    }

    /// Like [`Compiler::compile`], for a link type by libpcap's name: `EN10MB`, `RAW`,
    /// `LINUX_SLL2`, ...
    ///
    /// # Errors
    ///
    /// Those of [`Compiler::compile`].
    pub fn compile_named(
        &self,
        spec: &FilterSpec,
        name: &str,
    ) -> Result<crate::Filter, FilterError> {
        let link_type = named(name)?;
        self.compile_for(spec, &[link_type])?
            .filter_for(link_type, spec.targets)
    }

    pub(super) fn compile_for(
        &self,
        spec: &FilterSpec,
        link_types: &[Linktype],
    ) -> Result<CompiledFilter, FilterError> {
        let expressions = Expressions::of(spec, link_types)?;
        if let Some(programs) = self.remembered(&expressions) {
            return Ok(CompiledFilter::new(spec, programs));
        }
        let programs = Arc::new(
            if expressions.outer.is_none() && expressions.inner.is_none() {
                expressions.compile()?
            } else {
                self.compile_with_names(expressions.clone())?
            },
        );
        let mut remembered = lock(&self.remembered);
        remembered.truncate(REMEMBERED - 1);
        remembered.push_front((expressions, Arc::clone(&programs)));
        Ok(CompiledFilter::new(spec, programs))
    }

    /// Whether [`Compiler::compile`] would return at once.
    #[must_use]
    pub fn remembers(&self, spec: &FilterSpec) -> bool {
        let plain = spec.expression.is_none() && spec.inner.is_none();
        plain
            || Expressions::captured()
                .and_then(|link_types| Expressions::of(spec, &link_types))
                .is_ok_and(|expressions| self.remembered(&expressions).is_some())
    }

    fn remembered(&self, expressions: &Expressions) -> Option<Arc<ClassicPrograms>> {
        let remembered = lock(&self.remembered);
        remembered
            .iter()
            .find(|(known, _)| known == expressions)
            .map(|(_, programs)| Arc::clone(programs))
    }

    /// Compiles; host names that libpcap cannot resolve are replaced by their addresses, one by
    /// one.
    fn compile_with_names(
        &self,
        mut expressions: Expressions,
    ) -> Result<ClassicPrograms, FilterError> {
        for _ in 0..=MAX_NAMES {
            let (inside, error) = match self.compile_once(&expressions) {
                Ok(programs) => return Ok(programs),
                Err(FilterError::Inner(error)) => (true, *error),
                Err(error) => (false, error),
            };
            let within = |error| {
                if inside {
                    FilterError::Inner(Box::new(error))
                } else {
                    error
                }
            };
            let Some(place) = names::unknown(&error) else {
                return Err(within(error));
            };
            if !self.resolve_names {
                return Err(within(FilterError::HostName(place.clone())));
            }
            let addresses = self.resolve(place).map_err(within)?;
            let written = expressions.part(inside).take().unwrap_or_default();
            for substitute in names::substitutes(&written, &place.token, &addresses) {
                *expressions.part(inside) = Some(substitute);
                if !names::is_other_version(&self.compile_once(&expressions)) {
                    break;
                }
            }
        }
        Err(FilterError::TooManyNames)
    }

    fn compile_once(&self, expressions: &Expressions) -> Compiled {
        let Some(program) = &self.program else {
            return libpcap::on_large_stack(|| expressions.compile());
        };
        let request = Request::Compile(expressions.clone());
        self.ask::<Compiled>(program, &request, self.longest)?
    }

    fn resolve(&self, place: &Place) -> Result<Vec<IpAddr>, FilterError> {
        let unresolved = |reason: String| FilterError::Unresolved {
            name: place.token.clone(),
            byte: place.byte,
            reason,
        };
        let request = Request::Resolve(place.token.clone());
        let Some(program) = &self.program else {
            return Err(FilterError::HostName(place.clone()));
        };
        match self.ask::<Resolved>(program, &request, MAX_RESOLVE_TIME) {
            Ok(Ok(addresses)) if addresses.is_empty() => Err(unresolved("no address".to_owned())),
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(reason)) => Err(unresolved(reason)),
            Err(FilterError::TooSlow) => {
                let seconds = MAX_RESOLVE_TIME.as_secs();
                Err(unresolved(format!("no answer within {seconds} s")))
            }
            Err(error) => Err(error),
        }
    }

    /// Runs the process for one request.
    fn ask<Answer: DeserializeOwned>(
        &self,
        program: &OsString,
        request: &Request,
        longest: Duration,
    ) -> Result<Answer, FilterError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            FilterError::Compiler(format!("{what}: {error}"))
        };
        let request =
            serde_json::to_vec(request).map_err(|error| failed("writing the request", &error))?;
        let _turn = self.turn();
        let mut process = Process::start(program)
            .map_err(|error| failed("starting the process that compiles", &error))?;
        let answer = process
            .talk(request, longest)
            .map_err(|error| failed("talking to the process that compiles", &error))?;
        let Some(answer) = answer else {
            return Err(FilterError::TooSlow);
        };
        let status = process
            .end()
            .map_err(|error| failed("waiting for the process that compiles", &error))?;
        serde_json::from_slice(&answer).map_err(|_| unanswered(status))
    }

    /// Waits until fewer than [`MAX_PROCESSES`] run.
    fn turn(&self) -> Turn<'_> {
        let mut running = lock(&self.running);
        while *running >= MAX_PROCESSES {
            running = self
                .ended
                .wait(running)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *running += 1;
        Turn(self)
    }
}

/// Why a process has ended without an answer.
fn unanswered(status: ExitStatus) -> FilterError {
    match status.signal() {
        Some(libc::SIGXCPU | libc::SIGKILL) => FilterError::TooSlow,
        Some(libc::SIGABRT | libc::SIGSEGV | libc::SIGBUS) => FilterError::TooMuchMemory,
        _ => FilterError::Compiler(format!(
            "the process that compiles gave no answer ({status})"
        )),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The permit to run one process.
struct Turn<'a>(&'a Compiler);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *lock(&self.0.running) -= 1;
        self.0.ended.notify_one();
    }
}

/// A compiling process; it is killed when this is dropped.
struct Process(Child);

impl Process {
    fn start(program: &OsString) -> io::Result<Self> {
        Command::new(program)
            .arg(child::ARGUMENT)
            .env_clear()
            // libpcap may be found only through this variable.
            .envs(std::env::var_os("LD_LIBRARY_PATH").map(|path| ("LD_LIBRARY_PATH", path)))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map(Self)
    }

    /// The answer; `None` after the time limit.
    fn talk(&mut self, request: Vec<u8>, longest: Duration) -> io::Result<Option<Vec<u8>>> {
        let missing = || io::Error::other("a pipe is missing");
        let stdin = self.0.stdin.take().ok_or_else(missing)?;
        let stdout = self.0.stdout.take().ok_or_else(missing)?;
        let (sender, receiver) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("filter-compiler".to_owned())
            .spawn(move || {
                // The receiver is gone if it took too long.
                let _ = sender.send(exchange(stdin, stdout, &request));
            })?;
        match receiver.recv_timeout(longest) {
            Ok(answer) => answer.map(Some),
            Err(_) => Ok(None),
        }
    }

    fn end(&mut self) -> io::Result<ExitStatus> {
        self.0.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // If it has ended by itself, there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn exchange(mut stdin: ChildStdin, stdout: ChildStdout, request: &[u8]) -> io::Result<Vec<u8>> {
    match stdin.write_all(request) {
        // It has ended early; its status shows why.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    drop(stdin);
    let mut answer = Vec::new();
    stdout.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests;
