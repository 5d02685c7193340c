//! Publishes the authority of the coordinator's certificate, so that users can connect to it.

use std::{collections::BTreeMap, path::Path, time::Duration};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{ObjectMeta, Patch, PatchParams},
};
use tokio::time::sleep;

/// How often the file is checked: authorities are renewed rarely, and before they expire.
const INTERVAL: Duration = Duration::from_secs(60);

/// Publishes the file in a ConfigMap, and again whenever it changes.
pub(crate) async fn publish(client: Client, namespace: &str, name: &str, file: &Path) {
    let maps = Api::<ConfigMap>::namespaced(client, namespace);
    let mut published = None;
    loop {
        match std::fs::read_to_string(file) {
            Ok(text) if published.as_ref() != Some(&text) => {
                match apply(&maps, name, &text).await {
                    Ok(()) => published = Some(text),
                    Err(error) => tracing::warn!("ConfigMap {name}: {error}"),
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!("{}: {error}", file.display()),
        }
        sleep(INTERVAL).await;
    }
}

async fn apply(maps: &Api<ConfigMap>, name: &str, pem: &str) -> Result<(), kube::Error> {
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([("ca.crt".to_owned(), pem.to_owned())])),
        ..ConfigMap::default()
    };
    let parameters = PatchParams::apply("capture-coordinator").force();
    maps.patch(name, &parameters, &Patch::Apply(&map))
        .await
        .map(drop)
}
