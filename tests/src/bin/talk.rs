//! What runs in the pods of the cluster's tests: answers datagrams and counts them, sends and counts.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};
use serde_json::json;

/// Datagrams that are answered and counted.
const PORT: u16 = 7000;
/// Questions for the counts; they are not counted.
const COUNTS: u16 = 7001;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Answer each datagram, and count by the address that it came from
    Serve,
    /// Send datagrams one after the other, wait for each answer, and print the counts of both ends as JSON
    Send {
        /// The pod that answers
        to: IpAddr,
        /// How many
        #[arg(long, default_value_t = 100)]
        count: u32,
        /// Bytes of each, without headers
        #[arg(long, default_value_t = 64)]
        length: usize,
        /// How long to wait before the next, in milliseconds
        #[arg(long, default_value_t = 0)]
        pause: u64,
    },
}

/// Datagrams by the address of the other end.
type Counts = Arc<Mutex<BTreeMap<IpAddr, u64>>>;

fn main() -> Result<()> {
    match Arguments::parse().action {
        Action::Serve => serve(),
        Action::Send {
            to,
            count,
            length,
            pause,
        } => send(to, count, length, Duration::from_millis(pause)),
    }
}

fn serve() -> Result<()> {
    let counts = Counts::default();
    let asked = Arc::clone(&counts);
    let questions = UdpSocket::bind(("0.0.0.0", COUNTS)).context("listening for questions")?;
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, from)) = questions.recv_from(&mut buffer) {
            let counts = asked.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.get(&from.ip()).copied().unwrap_or_default();
            // Whoever gets no answer asks again.
            let _ = questions.send_to(count.to_string().as_bytes(), from);
        }
    });
    let socket = UdpSocket::bind(("0.0.0.0", PORT)).context("listening")?;
    println!("listening");
    let mut buffer = [0; 65536];
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        // Counted before it is answered: who has the answer may ask for the count.
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(from.ip()).or_default() += 1;
        drop(counts);
        socket.send_to(&buffer[..length], from)?;
    }
}

fn send(to: IpAddr, count: u32, length: usize, pause: Duration) -> Result<()> {
    ensure!(length >= 8, "a datagram holds its number: at least 8 bytes");
    let before = ask(to)?;
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    socket.connect(SocketAddr::new(to, PORT))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (mut datagram, mut answer) = (vec![0; length], vec![0; length]);
    let mut received = 0_u32;
    for number in 0..count {
        datagram[..4].copy_from_slice(&number.to_be_bytes());
        socket.send(&datagram)?;
        let length = socket.recv(&mut answer);
        let length = length.with_context(|| format!("no answer to datagram {number}"))?;
        ensure!(
            answer[..length] == datagram,
            "another answer to datagram {number}"
        );
        received += 1;
        thread::sleep(pause);
    }
    let answered = ask(to)? - before;
    println!(
        "{}",
        json!({"sent": count, "received": received, "answered": answered})
    );
    Ok(())
}

/// How many datagrams of this pod the other one has answered.
fn ask(to: IpAddr) -> Result<u64> {
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    socket.connect(SocketAddr::new(to, COUNTS))?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    let start = Instant::now();
    let mut answer = [0; 32];
    loop {
        socket.send(b"?")?;
        match socket.recv(&mut answer) {
            Ok(length) => return Ok(std::str::from_utf8(&answer[..length])?.parse()?),
            Err(error) => ensure!(
                start.elapsed() < Duration::from_secs(20),
                "{to} does not answer: {error}"
            ),
        }
    }
}
