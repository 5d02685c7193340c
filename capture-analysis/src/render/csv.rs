//! Tables for spreadsheets.

use std::io::{self, Write};

use super::escape::csv_field;
use crate::report::{Conversation, Exchange, Report};

/// A table: the name of its file, and its rows.
pub struct Table<'r> {
    /// Such as `flows.csv`.
    pub name: &'static str,
    write: fn(&'r Report, &mut dyn Write) -> io::Result<()>,
    report: &'r Report,
}

impl Table<'_> {
    /// Writes the table.
    ///
    /// # Errors
    /// The output takes no more.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        (self.write)(self.report, out)
    }
}

/// Every table.
#[must_use]
pub fn tables(report: &Report) -> Vec<Table<'_>> {
    let table = |name, write| Table {
        name,
        write,
        report,
    };
    vec![
        table("flows.csv", flows),
        table("findings.csv", findings),
        table("dns.csv", dns),
        table("tls.csv", tls),
        table("http.csv", http),
    ]
}

/// A field: numbers stand as they are, texts are escaped, what was not measured is empty.
enum Field<'f> {
    Number(u64),
    Text(&'f str),
    Nothing,
}

impl From<u64> for Field<'_> {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<Option<u64>> for Field<'_> {
    fn from(number: Option<u64>) -> Self {
        number.map_or(Self::Nothing, Self::Number)
    }
}

impl<'f> From<&'f str> for Field<'f> {
    fn from(text: &'f str) -> Self {
        Self::Text(text)
    }
}

impl<'f> From<&'f String> for Field<'f> {
    fn from(text: &'f String) -> Self {
        Self::Text(text)
    }
}

impl<'f> From<&'f Option<String>> for Field<'f> {
    fn from(text: &'f Option<String>) -> Self {
        text.as_deref().map_or(Self::Nothing, Self::Text)
    }
}

fn line(out: &mut dyn Write, fields: &[Field<'_>]) -> io::Result<()> {
    for (at, field) in fields.iter().enumerate() {
        separated(out, at, field)?;
    }
    out.write_all(b"\r\n")
}

fn separated(out: &mut dyn Write, at: usize, field: &Field<'_>) -> io::Result<()> {
    if at > 0 {
        out.write_all(b",")?;
    }
    match field {
        Field::Number(number) => write!(out, "{number}"),
        Field::Text(text) => out.write_all(csv_field(text).as_bytes()),
        Field::Nothing => Ok(()),
    }
}

/// A row that begins with who spoke with whom.
fn exchange(out: &mut dyn Write, exchange: &Exchange, fields: &[Field<'_>]) -> io::Result<()> {
    let begin = [
        u64::from(exchange.file).into(),
        exchange.frame.into(),
        exchange.flow.into(),
        (&exchange.client).into(),
        (&exchange.server).into(),
    ];
    for (at, field) in begin.iter().chain(fields).enumerate() {
        separated(out, at, field)?;
    }
    out.write_all(b"\r\n")
}

fn flows(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(
        b"flow,transport,client,client_port,server,server_port,client_packets,client_bytes,\
          server_packets,server_bytes,start_ns,duration_ns,community_id,opened,ended,handshake_ns,\
          mean_round_trip_ns,retransmissions,out_of_order,duplicate_acks,lost_segments,\
          zero_window_ns,waited_for_server_ns,waited_for_client_ns,waited_for_network_ns,\
          longest_idle_ns,reset_by\r\n",
    )?;
    let lists = [
        ("tcp", &report.conversations.tcp),
        ("udp", &report.conversations.udp),
    ];
    for (transport, list) in lists {
        for row in list {
            flow(row, transport, out)?;
        }
    }
    Ok(())
}

fn flow(row: &Conversation, transport: &str, out: &mut dyn Write) -> io::Result<()> {
    let tcp = row.tcp.as_ref();
    line(
        out,
        &[
            row.flow.into(),
            transport.into(),
            (&row.client.address).into(),
            row.client.port.map(u64::from).into(),
            (&row.server.address).into(),
            row.server.port.map(u64::from).into(),
            row.client_packets.into(),
            row.client_bytes.into(),
            row.server_packets.into(),
            row.server_bytes.into(),
            row.start_ns.into(),
            row.duration_ns.into(),
            (&row.community_id).into(),
            tcp.map_or(Field::Nothing, |tcp| (&tcp.opened).into()),
            tcp.map_or(Field::Nothing, |tcp| (&tcp.ended).into()),
            tcp.and_then(|tcp| tcp.handshake_ns).into(),
            tcp.and_then(|tcp| tcp.mean_round_trip_ns).into(),
            tcp.map(|tcp| tcp.retransmissions).into(),
            tcp.map(|tcp| tcp.out_of_order).into(),
            tcp.map(|tcp| tcp.duplicate_acks).into(),
            tcp.map(|tcp| tcp.lost_segments).into(),
            tcp.and_then(|tcp| tcp.zero_window_ns).into(),
            tcp.and_then(|tcp| tcp.waited_for_server_ns).into(),
            tcp.and_then(|tcp| tcp.waited_for_client_ns).into(),
            tcp.and_then(|tcp| tcp.waited_for_network_ns).into(),
            tcp.and_then(|tcp| tcp.longest_idle_ns).into(),
            tcp.map_or(Field::Nothing, |tcp| (&tcp.reset_by).into()),
        ],
    )
}

fn findings(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(
        b"id,kind,severity,certainty,title,flow,first_file,first_frame,last_file,last_frame,frames,\
          filter,measured,recorder_loss,meaning,next\r\n",
    )?;
    for finding in &report.findings {
        let name = |file: u32| {
            let file = report.files.get(file as usize);
            file.map_or(Field::Nothing, |file| (&file.name).into())
        };
        let severity = format!("{:?}", finding.severity).to_lowercase();
        let certainty = format!("{:?}", finding.certainty).to_lowercase();
        let evidence = &finding.evidence;
        line(
            out,
            &[
                (&finding.id).into(),
                (&finding.kind).into(),
                (&severity).into(),
                (&certainty).into(),
                (&finding.title).into(),
                finding
                    .flow
                    .as_ref()
                    .map_or(Field::Nothing, |flow| (&flow.name).into()),
                name(evidence.first.file),
                evidence.first.frame.into(),
                name(evidence.last.file),
                evidence.last.frame.into(),
                evidence.count.into(),
                (&finding.filter).into(),
                (&finding.measured).into(),
                (&finding.recorder_loss).into(),
                (&finding.meaning).into(),
                (&finding.next).into(),
            ],
        )?;
    }
    Ok(())
}

fn dns(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(
        b"file,frame,flow,client,server,time_ns,id,name,type,code,answer_frame,response_ns\r\n",
    )?;
    for row in report.dns.iter().flat_map(|dns| &dns.rows) {
        exchange(
            out,
            &row.exchange,
            &[
                row.time_ns.into(),
                u64::from(row.id).into(),
                (&row.name).into(),
                (&row.kind).into(),
                (&row.code).into(),
                row.answer_frame.into(),
                row.response_ns.into(),
            ],
        )?;
    }
    Ok(())
}

fn tls(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(
        b"file,frame,flow,client,server,sni,alpn,version,cipher,certificate,expires,alert,hello_ns\r\n",
    )?;
    for row in report.tls.iter().flat_map(|tls| &tls.rows) {
        let alpn = row.alpn.join(" ");
        exchange(
            out,
            &row.exchange,
            &[
                (&row.sni).into(),
                (&alpn).into(),
                (&row.version).into(),
                (&row.cipher).into(),
                (&row.certificate).into(),
                (&row.expires).into(),
                (&row.alert).into(),
                row.hello_ns.into(),
            ],
        )?;
    }
    Ok(())
}

fn http(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(
        b"file,frame,flow,client,server,method,host,target,status,response_frame,response_ns\r\n",
    )?;
    for row in report.http.iter().flat_map(|http| &http.rows) {
        exchange(
            out,
            &row.exchange,
            &[
                (&row.method).into(),
                (&row.host).into(),
                (&row.target).into(),
                row.status.map(u64::from).into(),
                row.response_frame.into(),
                row.response_ns.into(),
            ],
        )?;
    }
    Ok(())
}
