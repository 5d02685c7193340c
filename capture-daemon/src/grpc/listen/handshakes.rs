//! Connections whose clients have not authenticated yet.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use tokio::{
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep_until},
};

use crate::audit;

/// Minimum age at which a connection is closed for others.
const LEAST_AGE: Duration = Duration::from_millis(300);

/// Connections that are not authenticated yet, the oldest first.
pub(super) struct Handshakes {
    most: usize,
    tasks: JoinSet<()>,
    by_age: Vec<Handshake>,
}

struct Handshake {
    from: Option<IpAddr>,
    began: Instant,
    task: AbortHandle,
}

impl Handshakes {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            tasks: JoinSet::new(),
            by_age: Vec::new(),
        }
    }

    /// Waits until another handshake may begin. If none ends, one that is old enough is closed: the
    /// oldest from the address that has most of them, so that an address that floods harms only itself.
    /// Cancel safe.
    pub(super) async fn room(&mut self) {
        loop {
            while self.tasks.try_join_next().is_some() {}
            self.by_age.retain(|one| !one.task.is_finished());
            if self.by_age.len() < self.most {
                return;
            }
            let from: Vec<_> = self.by_age.iter().map(|one| one.from).collect();
            let Some(at) = victim(&from) else {
                return;
            };
            let due = self.by_age[at].began + LEAST_AGE;
            if due <= Instant::now() {
                let one = self.by_age.remove(at);
                one.task.abort();
                let from = one.from.map(|from| from.to_string());
                audit::refused(
                    from.as_deref().unwrap_or("unknown"),
                    "connect",
                    "it had not authenticated while others waited (limits.handshakes)",
                );
                return;
            }
            tokio::select! {
                () = sleep_until(due) => {}
                _ = self.tasks.join_next() => {}
            }
        }
    }

    /// Starts a handshake.
    pub(super) fn start(
        &mut self,
        from: Option<IpAddr>,
        handshake: impl Future<Output = ()> + Send + 'static,
    ) {
        self.by_age.push(Handshake {
            from,
            began: Instant::now(),
            task: self.tasks.spawn(handshake),
        });
    }
}

/// The handshake to close: the oldest of the address that occurs most.
fn victim(by_age: &[Option<IpAddr>]) -> Option<usize> {
    let mut counts = HashMap::new();
    for from in by_age {
        *counts.entry(from).or_insert(0) += 1;
    }
    let most = counts.values().copied().max()?;
    by_age.iter().position(|from| counts[from] == most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_the_address_that_has_most_goes_first() {
        let address = |last: u8| Some(IpAddr::from([10, 0, 0, last]));
        assert_eq!(victim(&[]), None);
        assert_eq!(victim(&[address(1), address(2)]), Some(0));
        assert_eq!(victim(&[address(1), address(2), address(2)]), Some(1));
        assert_eq!(victim(&[None, None, address(1)]), Some(0));
    }
}
