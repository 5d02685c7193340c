//! Ends and cleans up captures without a resource, once a minute. A capture is only touched if its
//! resource was missing twice: the watch may lag.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use kube::ResourceExt as _;
use tokio::time::sleep;

use super::Context;
use crate::decide::{Orphan, orphans};

const INTERVAL: Duration = Duration::from_secs(30);

/// Cleans until it is dropped.
pub(super) async fn clean(context: Arc<Context>) {
    let mut before = HashSet::new();
    loop {
        sleep(INTERVAL).await;
        let uids: BTreeSet<String> = context
            .resources
            .state()
            .iter()
            .filter_map(|resource| resource.uid())
            .collect();
        let mut now = HashSet::new();
        for node in context.nodes.names() {
            let Some(state) = context.nodes.get(&node) else {
                continue;
            };
            let captures = state.captures.values().map(AsRef::as_ref);
            let found = orphans(captures, &uids, context.settings.files.max_files);
            for (capture, orphan) in found {
                let uid = &state.captures[&capture].uid;
                let key = (node.clone(), uid.clone(), orphan == Orphan::Stop);
                if before.contains(&key)
                    && let Some(client) = &state.client
                {
                    act(&context, client, &node, &capture, orphan).await;
                }
                now.insert(key);
            }
        }
        before = now;
    }
}

async fn act(
    context: &Context,
    client: &capture_client::Client,
    node: &str,
    capture: &str,
    orphan: Orphan,
) {
    let result = match orphan {
        Orphan::Stop => client.stop(capture, true).await.map(drop),
        Orphan::Delete => client.delete(capture, false, false).await.map(drop),
    };
    let action = match orphan {
        Orphan::Stop => "stop",
        Orphan::Delete => "delete",
    };
    context.metrics.acted(action, result.is_ok());
    match result {
        Ok(()) => tracing::info!("node {node}: {action} {capture}, whose resource is gone"),
        Err(error) => tracing::warn!("node {node}: {action} {capture}: {error}"),
    }
}
