//! Access control. In Kubernetes RBAC decides: a token is reviewed, and then the user's right to the
//! resource, to its subresource, and to the pods of every namespace that the capture selects from.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use capture_client::model::Capture;
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec, UserInfo},
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
};
use kube::{Api, ResourceExt as _, api::PostParams, runtime::reflector::Store};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tonic::{Request, Status};

use super::certificate;
use crate::{
    decide::{LABEL_UID, capture_name},
    request::{FileDefaults, Plan},
    resource::{GROUP, PLURAL, PacketCaptureConfig, PacketCaptureConfigSpec},
};

/// How long an answer of the API server is cached.
const BELIEVED: Duration = Duration::from_secs(10);
/// Maximum cached tokens.
const REMEMBERED: usize = 1024;
/// Maximum length of a token.
const LONGEST_TOKEN: usize = 16 << 10;
/// Concurrent reviews: clients that send tokens must not overload the API server.
const REVIEWS: usize = 16;

/// The authority that decides.
pub(super) enum Access {
    /// The API server.
    Kubernetes(Arc<Reviews>),
    /// Every client with a certificate may do everything: the TLS handshake has verified it.
    Certificates,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kubernetes(_) => "Kubernetes",
            Self::Certificates => "Certificates",
        })
    }
}

/// The captures that a caller may see.
#[derive(Debug, Clone)]
pub(super) enum Captures {
    /// All.
    All,
    /// Those of resources only.
    OfResources,
    /// Only those of the resource with this uid.
    Of(String),
}

impl Captures {
    /// Whether the caller may see a capture.
    #[must_use]
    pub(super) fn has(&self, capture: &Capture) -> bool {
        let label = capture.labels.get(LABEL_UID);
        match self {
            Self::All => true,
            Self::OfResources => label.is_some(),
            Self::Of(uid) => label == Some(uid),
        }
    }

    /// Whether the caller may see the captures of a resource.
    #[must_use]
    pub(super) fn has_of(&self, resource: &PacketCaptureConfig) -> bool {
        match self {
            Self::All | Self::OfResources => true,
            Self::Of(uid) => resource.metadata.uid.as_ref() == Some(uid),
        }
    }
}

/// Users by the digest of their token, and since when they are cached.
type Users = HashMap<[u8; 32], (Instant, Arc<UserInfo>)>;

/// Queries the API server.
pub(super) struct Reviews {
    client: kube::Client,
    resources: Store<PacketCaptureConfig>,
    users: Mutex<Users>,
    at_once: Semaphore,
}

impl Access {
    /// The API server decides.
    #[must_use]
    pub(super) fn kubernetes(client: kube::Client, resources: Store<PacketCaptureConfig>) -> Self {
        Self::Kubernetes(Arc::new(Reviews {
            client,
            resources,
            users: Mutex::default(),
            at_once: Semaphore::new(REVIEWS),
        }))
    }

    /// Whether the caller may see the resource, or all resources if there is no name.
    pub(super) async fn see<T>(
        &self,
        request: &Request<T>,
        call: &str,
        name: &str,
    ) -> Result<Captures, Status> {
        let Self::Kubernetes(reviews) = self else {
            return Ok(Captures::All);
        };
        let user = reviews.user(request).await?;
        let result = async {
            reviews.may(&user, resource("get", "", name)).await?;
            if name.is_empty() {
                return Ok(Captures::OfResources);
            }
            let found = reviews.find(name)?;
            Ok(Captures::Of(found.uid().unwrap_or_default()))
        };
        logged(&user, call, name, result.await)
    }
}

/// The sender of a request that changes something.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The user's name, or the name in the certificate.
    pub(super) name: String,
    user: Option<Arc<UserInfo>>,
}

impl Access {
    /// The sender of a request.
    pub(super) async fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let Self::Kubernetes(reviews) = self else {
            return Ok(Caller {
                name: certificate::name(request),
                user: None,
            });
        };
        let user = reviews.user(request).await?;
        Ok(Caller {
            name: user.username.clone().unwrap_or_default(),
            user: Some(user),
        })
    }

    /// Fails unless the caller may use a verb on the resource, or on all resources if there is no name.
    pub(super) async fn may(&self, caller: &Caller, verb: &str, name: &str) -> Result<(), Status> {
        match (self, &caller.user) {
            (Self::Kubernetes(reviews), Some(user)) => {
                reviews.may(user, resource(verb, "", name)).await
            }
            _ => Ok(()),
        }
    }

    /// Fails unless the caller may read the pods of every namespace that these captures select from.
    pub(super) async fn may_capture(
        &self,
        caller: &Caller,
        specs: &[&PacketCaptureConfigSpec],
    ) -> Result<(), Status> {
        let (Self::Kubernetes(reviews), Some(user)) = (self, &caller.user) else {
            return Ok(());
        };
        let all: BTreeSet<String> = specs.iter().copied().flat_map(namespaces).collect();
        for namespace in all {
            reviews.may(user, pods(&namespace)).await?;
        }
        Ok(())
    }

    /// All resources; none without Kubernetes.
    pub(super) fn resources(&self) -> Vec<Arc<PacketCaptureConfig>> {
        match self {
            Self::Kubernetes(reviews) => reviews.resources.state(),
            Self::Certificates => Vec::new(),
        }
    }

    /// The resource whose captures have this name.
    pub(super) fn find(&self, name: &str) -> Result<Arc<PacketCaptureConfig>, Status> {
        match self {
            Self::Kubernetes(reviews) => reviews.find(name),
            Self::Certificates => Err(Status::unimplemented("there are no resources here")),
        }
    }
}

/// Logs who did what.
pub(super) fn logged<T>(
    user: &UserInfo,
    call: &str,
    name: &str,
    result: Result<T, Status>,
) -> Result<T, Status> {
    let who = user.username.as_deref().unwrap_or_default();
    match &result {
        Ok(_) => tracing::info!("audit: {who:?} {call} {name:?}: allowed"),
        Err(status) => {
            tracing::warn!(
                "audit: {who:?} {call} {name:?}: refused: {}",
                status.message()
            );
        }
    }
    result
}

/// The namespaces that a resource selects pods from; an empty name means all.
pub(super) fn namespaces(spec: &PacketCaptureConfigSpec) -> BTreeSet<String> {
    let all = || BTreeSet::from([String::new()]);
    // Captures that ran before the resource became invalid may contain anything.
    let Ok(plan) = Plan::new(spec, FileDefaults::default()) else {
        return all();
    };
    let Some(selection) = plan.selection.filter(|_| plan.targets.is_empty()) else {
        // An address may belong to any pod.
        return all();
    };
    let mut namespaces: BTreeSet<String> = selection
        .names
        .into_iter()
        .map(|(namespace, _)| namespace)
        .collect();
    match selection.labels {
        Some((_, of)) if of.is_empty() => all(),
        Some((_, of)) => {
            namespaces.extend(of);
            namespaces
        }
        None => namespaces,
    }
}

pub(super) fn resource(verb: &str, subresource: &str, name: &str) -> ResourceAttributes {
    let set = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ResourceAttributes {
        group: Some(GROUP.to_owned()),
        resource: Some(PLURAL.to_owned()),
        subresource: set(subresource),
        name: set(name),
        verb: Some(verb.to_owned()),
        ..ResourceAttributes::default()
    }
}

pub(super) fn pods(namespace: &str) -> ResourceAttributes {
    ResourceAttributes {
        resource: Some("pods".to_owned()),
        namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
        verb: Some("get".to_owned()),
        ..ResourceAttributes::default()
    }
}

impl Reviews {
    fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn find(&self, name: &str) -> Result<Arc<PacketCaptureConfig>, Status> {
        self.resources
            .find(|resource| capture_name(&resource.name_any()) == name)
            .ok_or_else(|| Status::not_found(format!("there is no PacketCaptureConfig {name:?}")))
    }

    /// The sender of a request.
    pub(super) async fn user<T>(&self, request: &Request<T>) -> Result<Arc<UserInfo>, Status> {
        let refused = |why: &str| {
            let from = request.remote_addr();
            tracing::warn!("audit: a client at {from:?} is refused: {why}");
            Status::unauthenticated(why)
        };
        let token = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .map(str::trim)
            .filter(|token| !token.is_empty() && token.len() <= LONGEST_TOKEN)
            .ok_or_else(|| refused("send a Kubernetes token: authorization: Bearer TOKEN"))?;
        let key: [u8; 32] = Sha256::digest(token).into();
        let known = self.users().get(&key).cloned();
        if let Some((since, user)) = known
            && since.elapsed() < BELIEVED
        {
            return Ok(user);
        }
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                audiences: None,
            },
            ..TokenReview::default()
        };
        let status = {
            let _turn = self.at_once.acquire().await;
            let reviews = Api::<TokenReview>::all(self.client.clone());
            let review = reviews.create(&PostParams::default(), &review).await;
            review.map_err(|error| cannot_ask(&error))?.status
        };
        let status = status.unwrap_or_default();
        let user = status
            .user
            .filter(|_| status.authenticated == Some(true))
            .ok_or_else(|| refused("the API server does not accept the token"))?;
        let user = Arc::new(user);
        let mut users = self.users();
        if users.len() >= REMEMBERED {
            users.retain(|_, (since, _)| since.elapsed() < BELIEVED);
        }
        if users.len() < REMEMBERED {
            users.insert(key, (Instant::now(), Arc::clone(&user)));
        }
        Ok(user)
    }

    /// Fails unless the user has a right.
    pub(super) async fn may(
        &self,
        user: &UserInfo,
        right: ResourceAttributes,
    ) -> Result<(), Status> {
        let what = describe(&right);
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: user.username.clone(),
                uid: user.uid.clone(),
                groups: user.groups.clone(),
                extra: user.extra.clone(),
                resource_attributes: Some(right),
                non_resource_attributes: None,
            },
            ..SubjectAccessReview::default()
        };
        let status = {
            let _turn = self.at_once.acquire().await;
            let reviews = Api::<SubjectAccessReview>::all(self.client.clone());
            let review = reviews.create(&PostParams::default(), &review).await;
            review.map_err(|error| cannot_ask(&error))?.status
        };
        if status.is_some_and(|status| status.allowed) {
            return Ok(());
        }
        let who = user.username.as_deref().unwrap_or_default();
        Err(Status::permission_denied(format!(
            "{who:?} may not {what}: an administrator grants it by RBAC"
        )))
    }
}

/// "get packetcaptureconfigs/stream web", "get pods in namespace shop".
fn describe(right: &ResourceAttributes) -> String {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    let mut what = format!("{} {}", text(&right.verb), text(&right.resource));
    if let Some(subresource) = &right.subresource {
        what.push_str(&format!("/{subresource}"));
    }
    match (&right.name, &right.namespace) {
        (Some(name), _) => what.push_str(&format!(" {name}")),
        (None, Some(namespace)) => what.push_str(&format!(" in namespace {namespace}")),
        (None, None) if right.group.is_none() => what.push_str(" in all namespaces"),
        (None, None) => {}
    }
    what
}

fn cannot_ask(error: &kube::Error) -> Status {
    tracing::warn!("asking the API server for a user's rights: {error}");
    Status::unavailable("the API server cannot be asked who you are; try again")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(spec: serde_json::Value) -> Vec<String> {
        let spec = serde_json::from_value(spec).unwrap();
        namespaces(&spec).into_iter().collect()
    }

    #[test]
    fn packets_of_a_capture_need_the_right_to_pods_of_every_namespace_it_selects_from() {
        let named = serde_json::json!({ "podSelector": { "pods": [
            { "podName": "a", "namespace": "shop" }, { "podName": "b" }
        ] } });
        assert_eq!(of(named), ["default", "shop"]);
        let labelled = serde_json::json!({ "podSelector": {
            "labelSelector": { "matchLabels": { "app": "web" } }, "namespaces": ["shop"]
        } });
        assert_eq!(of(labelled), ["shop"]);
        for everywhere in [
            serde_json::json!({ "podSelector": { "labelSelector": {} } }),
            serde_json::json!({ "targetIPs": ["10.0.0.1"] }),
            serde_json::json!({ "targetIPs": ["10.0.0.1"],
                "podSelector": { "pods": [{ "podName": "a" }] } }),
            serde_json::json!({ "targetIPs": ["none"] }),
        ] {
            assert_eq!(of(everywhere.clone()), [""], "{everywhere}");
        }
    }

    #[test]
    fn a_missing_right_is_named() {
        assert_eq!(
            describe(&resource("get", "stream", "web")),
            "get packetcaptureconfigs/stream web"
        );
        assert_eq!(
            describe(&resource("create", "", "")),
            "create packetcaptureconfigs"
        );
        assert_eq!(describe(&pods("shop")), "get pods in namespace shop");
        assert_eq!(describe(&pods("")), "get pods in all namespaces");
    }
}
