//! Warns where other programs run before the recorder.

use rtnetlink::Handle;

use super::warnings::{Topic, Warnings};
use crate::attach::{Attachment, Position};
use capture_types::Direction;

/// Warns about programs that run before ours, and about programs of ours that somebody has
/// detached.
pub(super) async fn check(
    name: &str,
    ifindex: u32,
    attachments: &[(Direction, Attachment)],
    netlink: &Handle,
    warnings: &Warnings,
) {
    for (direction, attachment) in attachments {
        let hook = hook_label(name, *direction);
        let position = Position::query(netlink, attachment, name, ifindex, *direction);
        match position.await {
            Position::First => {
                if warnings.clear(Topic::Position, &hook) {
                    tracing::info!("{hook}: the recorder is the first program again");
                }
            }
            Position::Behind(programs) => warnings.set(
                Topic::Position,
                &hook,
                format!(
                    "{} run before the recorder; packets that they drop or redirect are not seen",
                    programs.join(", ")
                ),
            ),
            Position::Missing => warnings.set(
                Topic::Position,
                &hook,
                "somebody has detached the recorder; nothing is captured there until the capture is \
                 started again"
                    .to_owned(),
            ),
        }
    }
}

pub(super) fn label(interface: &str) -> String {
    format!("interface {interface}")
}

pub(super) fn hook_label(interface: &str, direction: Direction) -> String {
    let hook = match direction {
        Direction::In => "ingress",
        Direction::Out => "egress",
    };
    format!("interface {interface} {hook}")
}
