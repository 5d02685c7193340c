//! Who may read packets of a capture: whoever may read the resource and its subresource, and the pods whose packets
//! are read. These are the pods that were captured, as whoever may change a resource can let it select others.

use std::sync::Arc;

use k8s_openapi::api::authentication::v1::UserInfo;
use kube::ResourceExt as _;
use tonic::{Code, Request, Status};

use super::access::{Access, Captures, Reviews, logged, namespaces, pods, resource};
use crate::decide::Namespaces;

/// A caller who may read a capture, as far as the pods in it allow.
pub(super) struct Reader {
    captures: Captures,
    /// `None`: everything may be read.
    asks: Option<Asks>,
}

struct Asks {
    reviews: Arc<Reviews>,
    user: Arc<UserInfo>,
    call: &'static str,
    name: String,
}

impl Reader {
    /// The sender of a request, if it may read packets of what the resource selects now.
    pub(super) async fn of<T>(
        access: &Access,
        request: &Request<T>,
        call: &'static str,
        subresource: &str,
        name: &str,
    ) -> Result<Self, Status> {
        let Access::Kubernetes(reviews) = access else {
            return Ok(Self {
                captures: Captures::All,
                asks: None,
            });
        };
        let user = reviews.user(request).await?;
        let result = async {
            reviews.may(&user, resource("get", "", name)).await?;
            reviews
                .may(&user, resource("get", subresource, name))
                .await?;
            let found = reviews.find(name)?;
            for namespace in namespaces(&found.spec) {
                reviews.may(&user, pods(&namespace)).await?;
            }
            Ok(Captures::Of(found.uid().unwrap_or_default()))
        };
        let captures = logged(&user, call, name, result.await)?;
        Ok(Self {
            captures,
            asks: Some(Asks {
                reviews: Arc::clone(reviews),
                user,
                call,
                name: name.to_owned(),
            }),
        })
    }

    /// The captures that it may see.
    pub(super) const fn captures(&self) -> &Captures {
        &self.captures
    }

    /// Fails unless it may read the pods of these namespaces.
    pub(super) async fn may_read(&self, what: &Namespaces) -> Result<(), Status> {
        let result = self.ask(what).await;
        match &self.asks {
            Some(asks) if result.is_err() => logged(&asks.user, asks.call, &asks.name, result),
            _ => result,
        }
    }

    /// Whether it may read all pods, and so whatever a file contains.
    pub(super) async fn may_read_anything(&self) -> Result<bool, Status> {
        match self.ask(&Namespaces::Any).await {
            Ok(()) => Ok(true),
            Err(status) if status.code() == Code::PermissionDenied => Ok(false),
            Err(status) => Err(status),
        }
    }

    async fn ask(&self, what: &Namespaces) -> Result<(), Status> {
        let Some(Asks { reviews, user, .. }) = &self.asks else {
            return Ok(());
        };
        match what {
            Namespaces::Any => reviews.may(user, pods("")).await,
            Namespaces::Of(names) => {
                for name in names {
                    reviews.may(user, pods(name)).await?;
                }
                Ok(())
            }
        }
    }
}
