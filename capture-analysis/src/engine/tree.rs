//! The tree of protocols: their nesting, and the packets and bytes of each.

use crate::decode::Protocol;

/// A protocol inside those above it.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) protocol: Protocol,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) children: Vec<u16>,
}

/// Only malformed traffic has more nodes than this.
const MOST: usize = 1024;

#[derive(Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    roots: Vec<u16>,
    place: Option<u16>,
}

impl Tree {
    #[inline]
    pub(crate) const fn begin(&mut self) {
        self.place = None;
    }

    #[inline]
    pub(crate) fn enter(&mut self, protocol: Protocol, bytes: u32) {
        let children = match self.place {
            Some(place) => &self.nodes[usize::from(place)].children,
            None => &self.roots,
        };
        let found = children
            .iter()
            .copied()
            .find(|child| self.nodes[usize::from(*child)].protocol == protocol);
        let Some(place) = found.or_else(|| self.grow(protocol)) else {
            return;
        };
        let node = &mut self.nodes[usize::from(place)];
        node.packets += 1;
        node.bytes += u64::from(bytes);
        self.place = Some(place);
    }

    fn grow(&mut self, protocol: Protocol) -> Option<u16> {
        let place = u16::try_from(self.nodes.len()).ok()?;
        if self.nodes.len() >= MOST {
            return None;
        }
        self.nodes.push(Node {
            protocol,
            packets: 0,
            bytes: 0,
            children: Vec::new(),
        });
        match self.place {
            Some(parent) => self.nodes[usize::from(parent)].children.push(place),
            None => self.roots.push(place),
        }
        Some(place)
    }

    pub(crate) fn roots(&self) -> &[u16] {
        &self.roots
    }

    pub(crate) fn node(&self, place: u16) -> &Node {
        &self.nodes[usize::from(place)]
    }
}
