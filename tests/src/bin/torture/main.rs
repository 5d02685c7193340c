//! Attacks on the real programs, and faults around them: each bounded, each with the correct result asserted,
//! one line each.

mod clients;
mod commands;
mod disk;
mod filters;
mod handshakes;
mod races;
mod recovery;
mod requests;
mod scene;
mod traffic;

use std::{
    env,
    io::Write as _,
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use rustix::process::{Pid, Signal, kill_process_group};

/// Attacks captured and capturectl like a stranger, a careless user and a bad day, in separate network
/// namespaces.
///
/// Each line shows the attack and the results in the ledger, the files and the API. A capture runs during
/// most attacks: its ledger and its files must agree with the sender's count.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  capture-torture --quick
  capture-torture planted-files full-disk
  capture-torture --list

Exit status: 0 if everything held, 1 if something fell.")]
struct Arguments {
    /// Run only attacks that take seconds
    #[arg(long)]
    quick: bool,
    /// Print names and descriptions, and do nothing
    #[arg(long)]
    list: bool,
    /// Run this attack alone, in this process
    #[arg(long, hide = true, value_name = "NAME")]
    attack: Option<String>,
    /// Run only these attacks
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// An attack on the programs.
pub(crate) struct Attack {
    name: &'static str,
    /// A description, for the report.
    done: &'static str,
    /// Whether it takes only seconds, and so is part of the tests.
    quick: bool,
    /// Runs it. Returns the results, or what failed.
    run: fn() -> Result<String>,
}

/// An attack that takes longer is stopped and counts as failed.
const PATIENCE: Duration = Duration::from_secs(90);

fn attacks() -> impl Iterator<Item = &'static Attack> {
    let all: [&'static [Attack]; 9] = [
        &filters::ATTACKS,
        &requests::ATTACKS,
        &clients::ATTACKS,
        &handshakes::ATTACKS,
        &races::ATTACKS,
        &disk::ATTACKS,
        &recovery::ATTACKS,
        &traffic::ATTACKS,
        &commands::ATTACKS,
    ];
    all.into_iter().flatten()
}

fn main() -> ExitCode {
    match torture(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything held.
fn torture(arguments: &Arguments) -> Result<bool> {
    if let Some(name) = &arguments.attack {
        let attack = attacks().find(|attack| attack.name == name);
        println!("{}", (attack.context("no such attack")?.run)()?);
        return Ok(true);
    }
    for name in &arguments.names {
        if !attacks().any(|attack| attack.name == name) {
            bail!("there is no attack {name:?}; --list shows which there are");
        }
    }
    let names = &arguments.names;
    let chosen = attacks().filter(|attack| match names.is_empty() {
        true => attack.quick || !arguments.quick,
        false => names.iter().any(|name| name == attack.name),
    });
    if arguments.list {
        chosen.for_each(|attack| println!("{:24} {}", attack.name, attack.done));
        return Ok(true);
    }
    if !rustix::process::geteuid().is_root() {
        bail!("the attacks need root: network namespaces, mounts and eBPF");
    }
    let (start, mut held, mut fell) = (Instant::now(), 0, Vec::new());
    for attack in chosen {
        let begun = Instant::now();
        let (verdict, text) = match apart(attack) {
            Ok(said) => {
                held += 1;
                ("held", said)
            }
            Err(error) => {
                fell.push(attack.name);
                ("FELL", format!("{error:#}"))
            }
        };
        let (name, done, seconds) = (attack.name, attack.done, begun.elapsed().as_secs());
        println!(
            "{verdict}  {name}: {done}: {} ({seconds} s)",
            one_line(&text)
        );
    }
    let seconds = start.elapsed().as_secs();
    println!("{held} held, {} fell, in {seconds} s", fell.len());
    if !fell.is_empty() {
        println!("fell: {}", fell.join(" "));
    }
    Ok(fell.is_empty())
}

fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(1000) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line,
    }
}

/// Mounts the file `$0` over the list of name servers and executes the other arguments.
const WITH_NAME_SERVERS: &str = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";

/// Runs an attack in a separate process group and mount namespace, so that nothing of it survives its time
/// limit. Its name server is at 127.0.0.1.
fn apart(attack: &Attack) -> Result<String> {
    let mut name_servers = tempfile::NamedTempFile::new()?;
    name_servers.write_all(b"nameserver 127.0.0.1\n")?;
    let mut child = Command::new("unshare")
        .args(["--mount", "sh", "-c", WITH_NAME_SERVERS])
        .arg(name_servers.path())
        .arg(env::current_exe()?)
        .args(["--attack", attack.name])
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("starting an attack")?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let stdout = std::thread::spawn(move || read(stdout));
    let stderr = std::thread::spawn(move || read(stderr));
    let ended = wait(&mut child);
    let (stdout, stderr) = (stdout.join(), stderr.join());
    if !ended? {
        let said = stderr.unwrap_or_default();
        bail!("{}", said.trim());
    }
    Ok(stdout.unwrap_or_default())
}

fn read(mut pipe: Option<impl std::io::Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = &mut pipe {
        // Output before a read error is still used.
        let _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether it succeeded. After its time limit it is killed with all processes that it started.
fn wait(child: &mut Child) -> Result<bool> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if start.elapsed() > PATIENCE {
            let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            kill_process_group(group.context("no process group")?, Signal::KILL)?;
            child.wait()?;
            bail!("it was not over after {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
