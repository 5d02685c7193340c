//! Leader election by a Lease: of several coordinators one acts. An expired lease is detected by this
//! process's own clock, so that differences between clocks do no harm.

use std::time::{Duration, Instant};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::time::sleep;

/// A lease that was not renewed for this long is free.
const DURATION: Duration = Duration::from_secs(9);
/// How often it is renewed, and checked by the candidates.
const RENEW: Duration = Duration::from_secs(2);
/// A holder that could not renew it for this long stops acting, before another one begins.
const DEADLINE: Duration = Duration::from_secs(6);

/// A candidate.
#[derive(Debug)]
pub struct Election {
    leases: Api<Lease>,
    name: String,
    identity: String,
}

/// The lease as it was last seen, and since when it has not changed.
#[derive(Debug)]
struct Seen {
    version: Option<String>,
    since: Instant,
}

impl Election {
    /// A candidate with this identity, which must be unique.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
        }
    }

    /// Waits until this process holds the lease.
    pub async fn acquire(&self) {
        let mut seen = Seen {
            version: None,
            since: Instant::now(),
        };
        loop {
            match self.try_acquire(&mut seen).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!("lease {}: {error}", self.name),
            }
            sleep(RENEW).await;
        }
    }

    /// Renews the lease until it is lost.
    pub async fn hold(&self) {
        let mut renewed = Instant::now();
        loop {
            sleep(RENEW).await;
            let renewal = tokio::time::timeout(DEADLINE, self.renew()).await;
            match renewal {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => {
                    tracing::warn!("lease {}: another coordinator has it", self.name);
                    return;
                }
                Ok(Err(error)) => tracing::warn!("lease {}: renewing failed: {error}", self.name),
                Err(_) => tracing::warn!("lease {}: renewing takes too long", self.name),
            }
            if renewed.elapsed() >= DEADLINE {
                tracing::warn!(
                    "lease {}: not renewed for {DEADLINE:?}: given up",
                    self.name
                );
                return;
            }
        }
    }

    /// Releases the lease.
    pub async fn release(&self) -> Result<(), kube::Error> {
        let Some(mut lease) = self.leases.get_opt(&self.name).await? else {
            return Ok(());
        };
        if !self.is_mine(&lease) {
            return Ok(());
        }
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
        }
        self.replace(&lease).await.map(drop)
    }

    async fn try_acquire(&self, seen: &mut Seen) -> Result<bool, kube::Error> {
        let Some(mut lease) = self.leases.get_opt(&self.name).await? else {
            return self.create().await;
        };
        if seen.version != lease.metadata.resource_version {
            seen.version.clone_from(&lease.metadata.resource_version);
            seen.since = Instant::now();
        }
        let holder = lease
            .spec
            .as_ref()
            .and_then(|spec| spec.holder_identity.as_deref())
            .unwrap_or_default();
        let is_free = holder.is_empty() || seen.since.elapsed() >= DURATION;
        if !is_free && !self.is_mine(&lease) {
            return Ok(false);
        }
        let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions);
        let now = MicroTime(Timestamp::now());
        lease.spec = Some(LeaseSpec {
            acquire_time: Some(now.clone()),
            lease_transitions: Some(transitions.unwrap_or_default() + 1),
            ..self.spec(now)
        });
        self.replace(&lease).await
    }

    async fn renew(&self) -> Result<bool, kube::Error> {
        let Some(mut lease) = self.leases.get_opt(&self.name).await? else {
            return Ok(false);
        };
        if !self.is_mine(&lease) {
            return Ok(false);
        }
        if let Some(spec) = &mut lease.spec {
            spec.renew_time = Some(MicroTime(Timestamp::now()));
        }
        self.replace(&lease).await
    }

    fn is_mine(&self, lease: &Lease) -> bool {
        let holder = lease
            .spec
            .as_ref()
            .and_then(|spec| spec.holder_identity.as_ref());
        holder == Some(&self.identity)
    }

    fn spec(&self, now: MicroTime) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }
    }

    async fn create(&self) -> Result<bool, kube::Error> {
        let now = MicroTime(Timestamp::now());
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                acquire_time: Some(now.clone()),
                ..self.spec(now)
            }),
        };
        taken(self.leases.create(&PostParams::default(), &lease).await)
    }

    /// Writes the lease unless somebody else has written it since it was read.
    async fn replace(&self, lease: &Lease) -> Result<bool, kube::Error> {
        let parameters = PostParams::default();
        taken(self.leases.replace(&self.name, &parameters, lease).await)
    }
}

/// Somebody else was faster, which is not an error.
fn taken(result: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match result {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
