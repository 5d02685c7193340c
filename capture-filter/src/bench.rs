//! The cost of a filter per packet, measured by the kernel.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    os::{fd::AsFd as _, unix::net::UnixDatagram},
    time::Instant,
};

use ipnet::IpNet;
use serde::Serialize;

use super::{
    ClassicInsn, ClassicProgram, Epilogue, Filter, FilterError, TargetError, TargetMaps, Trial,
    TrialError, compile,
    insn::{Alu, BpfInsn, R0},
    translate::NEXT,
};
use crate::kernel::{
    prog_load::load_classifier,
    prog_test_run::{TestPacket, test_run},
    socket_filter,
};
use capture_types::{Direction, LinkType};
use capture_types::{FilterSpec, TargetSet};

/// Runs of each program on each packet.
const REPEAT: u32 = 1_000_000;
/// Rounds of a measurement; the fastest counts, as slower ones were disturbed.
const ROUNDS: usize = 5;
const DATAGRAMS: u32 = 1_000;
const DATAGRAM_ROUNDS: usize = 500;
/// Instructions of a repeated classic program: few enough for the processor's first-level cache and
/// for a socket's memory (net.core.optmem_max).
const REPEATED: usize = 240;

/// One filter's cost.
#[derive(Debug, Clone, Serialize)]
pub struct Cost {
    /// Name of the filter.
    pub filter: String,
    /// A TCP packet that does not match, including the counting. The filter evaluates it to its last
    /// term.
    pub no_match: Nanoseconds,
    /// A TCP packet that matches, including the tail call.
    pub matching: Option<Nanoseconds>,
}

/// Nanoseconds per packet.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Nanoseconds {
    /// As the kernel's test run measures it.
    pub all: f64,
    /// Minus the time of an empty program.
    pub over_empty: f64,
    /// The same packet and expression as a classic socket filter, without the cost of the call; `None`
    /// where the expression is too long for one.
    pub classic: Option<f64>,
}

/// Errors of a measurement.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The filter is wrong.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The filter could not be run.
    #[error(transparent)]
    Trial(#[from] TrialError),
    /// The targets could not be set up.
    #[error(transparent)]
    Targets(#[from] TargetError),
    /// The peer could not be measured.
    #[error("the classic socket filter could not be measured: {0}")]
    Socket(#[from] io::Error),
}

/// Measures an empty program, expressions of one and of twenty terms, and small and large target sets.
/// Needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON.
///
/// # Errors
///
/// The kernel's error.
pub fn measure() -> Result<Vec<Cost>, BenchError> {
    let empty = empty()?;
    let mut costs = vec![Cost {
        filter: "empty program".to_owned(),
        no_match: Nanoseconds {
            all: empty,
            over_empty: 0.0,
            classic: None,
        },
        matching: None,
    }];
    let terms: Vec<String> = (1..20)
        .map(|host| format!("host 172.16.0.{host}"))
        .chain(["port 443".to_owned()])
        .collect();
    for (name, expression) in [
        ("tcp port 443", "tcp port 443"),
        ("20 terms", &terms.join(" or ")),
    ] {
        let filter = Filter::compile(&FilterSpec::expression(expression), LinkType::Ethernet)?;
        let trial = Trial::load(filter.program(EPILOGUE), None)?;
        costs.push(cost(name, &trial, Some(&filter.classic()[0].1), empty)?);
    }
    for (name, count, prefix) in [
        ("10 addresses", 10, 32),
        ("10,000 addresses", 10_000, 32),
        ("10 prefixes", 10, 30),
        ("10,000 prefixes", 10_000, 30),
    ] {
        let hosts = addresses(count, prefix);
        // The equivalent expression without a set; at most 4,096 instructions.
        let classic = match count {
            10 => Some(expression_of(&hosts)?),
            _ => None,
        };
        let set = TargetSet {
            hosts: Some(hosts),
            ..TargetSet::default()
        };
        let spec = FilterSpec {
            targets: set.kinds(),
            ..FilterSpec::default()
        };
        let program = Filter::compile(&spec, LinkType::Ethernet)?.program(EPILOGUE);
        let trial = Trial::load(program, Some(TargetMaps::create(&set)?))?;
        costs.push(cost(name, &trial, classic.as_ref(), empty)?);
    }
    Ok(costs)
}

const EPILOGUE: Epilogue = Epilogue {
    index: 0,
    direction: Direction::In,
};

fn expression_of(hosts: &[IpNet]) -> Result<ClassicProgram, FilterError> {
    let terms: Vec<String> = hosts.iter().map(|host| format!("net {host}")).collect();
    compile(&terms.join(" or "), LinkType::Ethernet)
}

fn cost(
    name: &str,
    trial: &Trial,
    program: Option<&ClassicProgram>,
    empty: f64,
) -> Result<Cost, BenchError> {
    let measure = |packet: &[u8]| -> Result<Nanoseconds, BenchError> {
        let all = fastest(|| Ok(trial.time(packet, REPEAT)?))?;
        Ok(Nanoseconds {
            all,
            over_empty: all - empty,
            classic: program
                .map(|program| classic(program, packet))
                .transpose()?,
        })
    };
    Ok(Cost {
        filter: name.to_owned(),
        no_match: measure(&tcp([192, 0, 2, 1], 8080))?,
        matching: Some(measure(&tcp([10, 0, 0, 1], 443))?),
    })
}

fn fastest(mut run: impl FnMut() -> Result<u32, BenchError>) -> Result<f64, BenchError> {
    let mut fastest = u32::MAX;
    for _ in 0..ROUNDS {
        fastest = fastest.min(run()?);
    }
    Ok(fastest.into())
}

fn empty() -> Result<f64, BenchError> {
    let insns = [BpfInsn::alu32(Alu::Mov, R0, NEXT), BpfInsn::exit()];
    let program = load_classifier(&insns, "captured_empty").map_err(TrialError::Load)?;
    let packet = tcp([192, 0, 2, 1], 8080);
    fastest(|| {
        let packet = TestPacket {
            bytes: &packet,
            ..TestPacket::default()
        };
        let run = test_run(program.as_fd(), packet, REPEAT)?;
        Ok(run.nanoseconds)
    })
}

/// Measures datagrams that a socket filter drops. Sending one takes far longer than a filter, so
/// the filter decides about each many times: the extra time over dropping at once is the filter's.
fn classic(program: &ClassicProgram, packet: &[u8]) -> Result<f64, BenchError> {
    let with_filter = |program: &ClassicProgram| -> io::Result<_> {
        let (sender, receiver) = UnixDatagram::pair()?;
        sender.set_nonblocking(true)?;
        socket_filter::attach(receiver.as_fd(), program)?;
        Ok((sender, receiver))
    };
    let times = (REPEATED / program.instructions().len()).max(1);
    let filter = with_filter(&repeated(program, times))?;
    let at_once = with_filter(&ClassicProgram::nothing())?;
    let time = |sender: &UnixDatagram| {
        let start = Instant::now();
        for _ in 0..DATAGRAMS {
            // Some kernels report an error for a datagram that the filter drops, others do not.
            let _ = sender.send(packet);
        }
        start.elapsed().as_nanos() as f64 / f64::from(DATAGRAMS)
    };
    let (mut base, mut own) = (f64::MAX, f64::MAX);
    for _ in 0..DATAGRAM_ROUNDS {
        base = base.min(time(&at_once.0));
        own = own.min(time(&filter.0));
    }
    Ok((own - base).max(0.0) / times as f64)
}

/// The program repeated `times` times; whatever each copy decides, the last one drops the packet.
fn repeated(program: &ClassicProgram, times: usize) -> ClassicProgram {
    const JUMP: u16 = 0x05;
    const CLASS: u16 = 0x07;
    const RETURN: u16 = 0x06;
    let length = program.instructions().len();
    let once = program.instructions().iter().enumerate();
    let once: Vec<ClassicInsn> = once
        .map(|(at, insn)| match insn.code & CLASS {
            RETURN => ClassicInsn {
                code: JUMP,
                jt: 0,
                jf: 0,
                k: (length - at - 1) as u32,
            },
            _ => *insn,
        })
        .collect();
    let mut all = once.repeat(times);
    all.extend_from_slice(ClassicProgram::nothing().instructions());
    ClassicProgram::new(all)
}

fn addresses(count: u32, prefix: u8) -> Vec<IpNet> {
    let first = u32::from(Ipv4Addr::new(10, 0, 0, 0));
    (0..count)
        .filter_map(|number| {
            let address = first + (number << (32 - prefix)) + u32::from(prefix == 32);
            IpNet::new(IpAddr::V4(Ipv4Addr::from(address)), prefix).ok()
        })
        .collect()
}

/// A TCP packet of 60 bytes.
fn tcp(source: [u8; 4], port: u16) -> Vec<u8> {
    let mut packet = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    packet.extend([0x45, 0, 0, 46, 0, 0, 0, 0, 64, 6, 0, 0]);
    packet.extend(source);
    packet.extend([198, 51, 100, 1]);
    packet.extend(50_000_u16.to_be_bytes());
    packet.extend(port.to_be_bytes());
    packet.resize(60, 0);
    packet
}
