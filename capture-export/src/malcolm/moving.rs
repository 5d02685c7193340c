//! Long work that cannot report its progress itself.

use std::time::Duration;

use crate::sink::Progress;

/// How often somebody looks.
const LOOK: Duration = Duration::from_secs(2);

/// Awaits work, and reports progress whenever `has_moved` says that something has moved since it was asked last.
pub(super) async fn while_moving<T>(
    work: impl Future<Output = T>,
    progress: &Progress,
    mut has_moved: impl FnMut() -> bool,
) -> T {
    tokio::pin!(work);
    loop {
        match tokio::time::timeout(LOOK, &mut work).await {
            Ok(done) => return done,
            Err(_) if has_moved() => progress.alive(),
            Err(_) => {}
        }
    }
}
