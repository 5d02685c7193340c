//! A hint at data that is sent out in the names of questions.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use ahash::RandomState;

use super::super::collect::{Case, Findings, Kind};
use crate::{
    packet::Packet,
    report::{Certainty, Evidence, FlowReference, Severity},
};

const TUNNEL: Kind = Kind {
    name: "security-dns-tunnel",
    certainty: Certainty::Possible,
    meaning: "One client asks for very many different and long names under one domain: data may be \
              leaving in the names. Content networks and mail filters do so too.",
    next: "Look at the names themselves and at who registered the domain; count the bytes of the answers (TXT).",
};

/// Maximum pairs of client and domain that are tracked.
const MOST_PAIRS: usize = 4_096;
/// Maximum different names counted for each.
const MOST_NAMES: usize = 1_024;
/// Shorter names carry no data.
const LONG: usize = 40;

struct Watched {
    names: HashSet<u64, RandomState>,
    evidence: Evidence,
}

pub(super) struct Tunnel {
    threshold: Option<u64>,
    hasher: RandomState,
    pairs: HashMap<(IpAddr, String), Watched, RandomState>,
}

impl Tunnel {
    pub(super) fn new(threshold: Option<u64>) -> Self {
        Self {
            threshold,
            hasher: RandomState::new(),
            pairs: HashMap::default(),
        }
    }

    pub(super) fn query(&mut self, client: IpAddr, name: &str, packet: &Packet<'_>) {
        if self.threshold.is_none() || name.len() < LONG || name.ends_with(".arpa") {
            return;
        }
        let domain_at = name.rmatch_indices('.').nth(1).map_or(0, |(at, _)| at + 1);
        let key = (client, name[domain_at..].to_owned());
        if !self.pairs.contains_key(&key) && self.pairs.len() >= MOST_PAIRS {
            return;
        }
        let watched = self.pairs.entry(key).or_insert_with(|| Watched {
            names: HashSet::default(),
            evidence: Evidence::from(packet),
        });
        if watched.names.len() < MOST_NAMES && watched.names.insert(self.hasher.hash_one(name)) {
            watched.evidence.add(packet);
        }
    }

    pub(super) fn findings(&mut self, findings: &mut Findings) {
        let Some(threshold) = self.threshold else {
            return;
        };
        for ((client, domain), watched) in std::mem::take(&mut self.pairs) {
            let names = watched.names.len() as u64;
            if names < threshold {
                continue;
            }
            findings.add(
                &TUNNEL,
                Case {
                    severity: Severity::Notice,
                    title: format!(
                        "{client} asked for {names} different long names under {domain}"
                    ),
                    flow: Some(FlowReference::host(client)),
                    evidence: watched.evidence,
                    filter: format!("dns.qry.name contains \"{}\"", quoted(&domain)),
                    measured: Some(format!("{names} names; reported from {threshold} on")),
                    weight: names,
                },
            );
        }
    }
}

/// Escapes a string for a display filter.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
