//! Properties that hold for any sequence of events.

use std::time::Duration;

use capture_client::model::StateReason;

use super::world::{World, of_pods};
use crate::{
    decide::{GRACE, Link},
    resource::{NodePhase, Phase},
};

/// A small pseudo-random generator with a fixed seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }
}

const NODES: [&str; 3] = ["n1", "n2", "n3"];
const PODS: [&str; 4] = ["a", "b", "c", "d"];

fn something_happens(world: &mut World, numbers: &mut Numbers) {
    let node = NODES[numbers.below(NODES.len())];
    let pod = PODS[numbers.below(PODS.len())];
    match numbers.below(9) {
        0 | 1 => {
            world.remove_pod(pod);
            world.add_pod(pod, node);
        }
        2 => world.remove_pod(pod),
        3 => world.nodes.get_mut(node).unwrap().link = Link::Broken("lost".to_owned()),
        4 | 5 => {
            let node = world.nodes.get_mut(node).unwrap();
            node.link = Link::Ready;
            node.fault = None;
        }
        6 => world.pass(Duration::from_secs(5)),
        7 => {
            let runs = world.nodes[node]
                .capture
                .as_ref()
                .is_some_and(|capture| !capture.has_ended());
            if runs && numbers.below(4) == 0 {
                world.end(node, StateReason::Packets);
            }
        }
        _ => world.fault(node, "limit reached", false),
    }
}

/// Nothing is started twice, final states do not change, and nothing is complete without files.
#[test]
fn whatever_happens_no_node_starts_twice_and_every_resource_ends() {
    for seed in 0..200 {
        let mut numbers = Numbers(seed);
        let mut world = World::new(of_pods());
        for node in NODES {
            world.add_node(node);
        }
        let mut ended = false;
        for _ in 0..60 {
            something_happens(&mut world, &mut numbers);
            let before = world.status.clone();
            world.settle();
            for node in &before.nodes {
                let now = world.status.nodes.iter().find(|now| now.name == node.name);
                let is_terminal = matches!(
                    node.phase,
                    NodePhase::Completed | NodePhase::Failed | NodePhase::Lost
                );
                if is_terminal && !world.status.nodes.is_empty() {
                    assert_eq!(now.map(|now| now.phase), Some(node.phase), "seed {seed}");
                }
            }
            if ended {
                assert!(world.status.completed_at.is_some(), "seed {seed}");
            }
            ended = world.status.completed_at.is_some();
        }
        assert!(
            world.starts.values().all(|starts| *starts == 1),
            "seed {seed}: {:?}",
            world.starts
        );
        // In the end every node is lost or has ended, and the resource says so.
        for node in NODES {
            let lives = world.nodes[node].link == Link::Ready;
            let runs = world.nodes[node]
                .capture
                .as_ref()
                .is_some_and(|c| !c.has_ended());
            if lives && runs {
                world.end(node, StateReason::Duration);
            }
            world.nodes.get_mut(node).unwrap().fault = None;
        }
        world.pass(Duration::from_secs(60));
        world.pass(GRACE);
        if world.status.started_at.is_none() {
            continue;
        }
        world.settle();
        assert!(
            world.status.completed_at.is_some(),
            "seed {seed}: {:?}",
            world.status
        );
        if world.status.phase == Some(Phase::Completed) {
            for node in &world.status.nodes {
                assert_eq!(node.phase, NodePhase::Completed, "seed {seed}");
                assert!(
                    node.files.iter().all(|file| file.digest.is_some()),
                    "seed {seed}"
                );
            }
        }
    }
}
