//! A server that takes every document of bulk requests, as fast as it can: what it costs to send them, without
//! what it costs a cluster to index them.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

use anyhow::{Context as _, Result, bail};
use flate2::read::GzDecoder;

/// A batch has less.
const LARGEST_BODY: usize = 64 << 20;

/// The server; it runs until the program ends.
pub(super) struct Taker {
    address: std::net::SocketAddr,
}

impl Taker {
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("listening on loopback")?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                // It ends with the connection.
                thread::spawn(move || serve(connection));
            }
        });
        Ok(Self { address })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn serve(connection: TcpStream) -> Result<()> {
    let mut out = connection.try_clone()?;
    let mut input = BufReader::with_capacity(1 << 20, connection);
    loop {
        let (mut first, mut length) = (String::new(), 0);
        if input.read_line(&mut first)? == 0 {
            return Ok(());
        }
        loop {
            let mut line = String::new();
            if input.read_line(&mut line)? == 0 {
                bail!("a request without an end");
            }
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
        }
        if length > LARGEST_BODY {
            bail!("a body of {length} bytes");
        }
        let mut body = vec![0; length];
        input.read_exact(&mut body)?;
        let answer = if first.starts_with("POST") {
            taken(&body)?
        } else {
            String::new()
        };
        let length = answer.len();
        write!(
            out,
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{answer}"
        )?;
    }
}

/// The answer: every document is in the index.
fn taken(body: &[u8]) -> Result<String> {
    let mut text = Vec::new();
    GzDecoder::new(body).read_to_end(&mut text)?;
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    let items = vec![r#"{"create":{"status":201}}"#; lines / 2].join(",");
    Ok(format!(r#"{{"errors":false,"items":[{items}]}}"#))
}
