//! Ended flows: every analyser gets them, and the largest are kept for the report.

use super::rows;
use crate::{
    analysers::Analyser,
    flow::{Flow, Transport},
    records::Tap,
    report::Conversation,
};

pub(crate) struct Closing {
    pub(crate) analysers: Vec<Box<dyn Analyser>>,
    pub(crate) most: usize,
    pub(crate) tcp: Vec<Conversation>,
    pub(crate) udp: Vec<Conversation>,
    pub(crate) not_listed: u64,
    tap: Option<Tap>,
}

impl Closing {
    pub(crate) const fn new(analysers: Vec<Box<dyn Analyser>>, most: usize) -> Self {
        Self {
            analysers,
            most,
            tcp: Vec::new(),
            udp: Vec::new(),
            not_listed: 0,
            tap: None,
        }
    }

    pub(crate) fn hand_to(&mut self, tap: &Tap) {
        for analyser in &mut self.analysers {
            analyser.hand_to(tap);
        }
        self.tap = Some(tap.clone());
    }

    pub(crate) const fn tap(&self) -> Option<&Tap> {
        self.tap.as_ref()
    }

    pub(crate) fn close(&mut self, mut flow: Flow) {
        if let Some(connection) = &mut flow.tcp {
            connection.finish(flow.span.last);
        }
        for analyser in &mut self.analysers {
            analyser.closed(&flow);
        }
        if let Some(tap) = &self.tap {
            tap.give(|records| records.flow(&flow));
        }
        if self.most == 0 {
            self.not_listed += 1;
            return;
        }
        let list = match flow.transport {
            Transport::Tcp => &mut self.tcp,
            Transport::Udp => &mut self.udp,
        };
        list.push(rows::flow(&flow));
        // From time to time, so that it costs little time and memory.
        if list.len() > self.most.saturating_add(self.most / 4).max(1) {
            self.not_listed += largest(list, self.most);
        }
    }

    /// The largest first.
    pub(crate) fn sort(&mut self) {
        for list in [&mut self.tcp, &mut self.udp] {
            list.sort_by_key(|row| (std::cmp::Reverse(rows::bytes(row)), row.flow));
            self.not_listed += list.len().saturating_sub(self.most) as u64;
            list.truncate(self.most);
        }
    }
}

/// Keeps the largest `most` in the list, and returns how many were removed.
fn largest(list: &mut Vec<Conversation>, most: usize) -> u64 {
    if list.len() <= most {
        return 0;
    }
    list.select_nth_unstable_by_key(most, |row| std::cmp::Reverse(rows::bytes(row)));
    let gone = list.len() - most;
    list.truncate(most);
    gone as u64
}
