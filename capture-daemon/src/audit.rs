//! The audit log: who did what, and why. Its lines have the target `audit`, whatever is logged else.

/// The target of audit lines.
pub const TARGET: &str = "audit";

/// Something was done, or tried.
pub fn done(who: &str, action: &str, object: &str, reason: &str, outcome: Result<(), &str>) {
    match outcome {
        Ok(()) => {
            tracing::info!(target: TARGET, who, action, object, reason, outcome = "done", "audit");
        }
        Err(error) => {
            tracing::info!(target: TARGET, who, action, object, reason, outcome = "failed", error, "audit");
        }
    }
}

/// Somebody was refused.
pub fn refused(who: &str, action: &str, why: &str) {
    tracing::warn!(target: TARGET, who, action, outcome = "refused", error = why, "audit");
}
