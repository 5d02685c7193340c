//! A client of the server: one connection, one request after the other.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

const HEAD: &str =
    "--bench\r\nContent-Disposition: form-data; name=\"file\"; filename=\"bench.pcap\"\r\n\r\n";
const TAIL: &str = "\r\n--bench--\r\n";

pub(super) struct Client {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
}

impl Client {
    pub(super) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).context("connecting to the web server")?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
            address,
        })
    }

    pub(super) fn get(&mut self, path: &str) -> Result<Value> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.answer()
    }

    /// Sends a file as a browser does; returns its task.
    pub(super) fn upload(&mut self, path: &Path) -> Result<String> {
        let mut file = File::open(path).with_context(|| path.display().to_string())?;
        let length = file.metadata()?.len() + (HEAD.len() + TAIL.len()) as u64;
        let request = format!(
            "POST /api/v1/uploads HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\n\
             Content-Type: multipart/form-data; boundary=bench\r\n\r\n{HEAD}",
            self.address
        );
        let stream = self.stream.get_mut();
        stream.write_all(request.as_bytes())?;
        io::copy(&mut file, stream).context("sending a file")?;
        stream.write_all(TAIL.as_bytes())?;
        let answer = self.answer()?;
        let task = answer["task_id"].as_str();
        Ok(task
            .with_context(|| format!("not accepted: {answer}"))?
            .to_owned())
    }

    fn answer(&mut self) -> Result<Value> {
        let mut status = String::new();
        self.stream.read_line(&mut status)?;
        let mut length = None;
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.trim().parse()?);
            }
        }
        let length: usize = length.with_context(|| format!("no length of an answer: {status}"))?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        let text = String::from_utf8_lossy(&body);
        ensure!(
            status.starts_with("HTTP/1.1 20"),
            "{}: {text}",
            status.trim_end()
        );
        serde_json::from_str(&text).with_context(|| text.into_owned())
    }
}
