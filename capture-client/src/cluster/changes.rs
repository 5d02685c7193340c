//! Calls that start, change, stop and delete captures of a cluster.

use std::time::Duration;

use capture_proto::v1;
use tonic::Status;

use super::{ClusterClient, ClusterSpec, known};
use crate::{ClientError, convert, error, model::Capture};

/// What a node answered to a call that changes a capture.
#[derive(Debug, Clone)]
pub struct NodeAnswer {
    /// The node's name.
    pub node: String,
    /// The capture, or why the node did not do what was asked.
    pub result: Result<Box<Capture>, ClientError>,
    /// Files that were removed; 0 in Kubernetes, where that is not known.
    pub files_removed: u64,
}

/// What became of a capture that was started.
#[derive(Debug, Clone)]
pub struct Started {
    /// What each node answered. In Kubernetes the nodes on which it has begun, which may be none yet.
    pub nodes: Vec<NodeAnswer>,
    /// Why it has not begun on some.
    pub message: Option<String>,
}

/// Changes of a capture of a cluster.
#[derive(Debug, Clone, Default)]
pub struct ClusterUpdate {
    /// The new values.
    pub spec: ClusterSpec,
    /// The fields to change, by their names in the API.
    pub paths: Vec<String>,
    /// The expected generation of the capture, if set.
    pub generation: Option<u64>,
}

impl ClusterClient {
    fn reason(&self) -> String {
        self.options.reason.clone()
    }

    fn answers(&self, nodes: Vec<v1::ClusterNodeAnswer>) -> Vec<NodeAnswer> {
        let timeout = self.options.timeout;
        nodes.into_iter().map(|one| answer(one, timeout)).collect()
    }

    /// Starts a capture. The request is idempotent: it has a unique id.
    pub async fn start(
        &self,
        name: &str,
        spec: ClusterSpec,
        request_id: &str,
        validate_only: bool,
    ) -> Result<Started, ClientError> {
        let request = v1::StartClusterCaptureRequest {
            name: name.to_owned(),
            spec: Some(spec.into()),
            request_id: request_id.to_owned(),
            reason: self.reason(),
            validate_only,
        };
        let request = self.request(request, true);
        let answer = self.service().start_cluster_capture(request).await;
        let answer = answer.map_err(|status| self.error(&status))?.into_inner();
        Ok(Started {
            nodes: self.answers(answer.nodes),
            message: known(answer.message),
        })
    }

    /// Changes a capture, on these nodes or on all that have it.
    pub async fn update(
        &self,
        name: &str,
        nodes: &[String],
        update: ClusterUpdate,
    ) -> Result<Vec<NodeAnswer>, ClientError> {
        let request = v1::UpdateClusterCaptureRequest {
            name: name.to_owned(),
            spec: Some(update.spec.into()),
            update_mask: Some(prost_types::FieldMask {
                paths: update.paths,
            }),
            expected_generation: update.generation,
            reason: self.reason(),
            nodes: nodes.to_vec(),
        };
        let request = self.request(request, true);
        let answer = self.service().update_cluster_capture(request).await;
        let answer = answer.map_err(|status| self.error(&status))?.into_inner();
        Ok(self.answers(answer.nodes))
    }

    /// Stops a capture, on these nodes or on all that have it, and unless `no_wait` waits until everything is on
    /// disk.
    pub async fn stop(
        &self,
        name: &str,
        nodes: &[String],
        no_wait: bool,
    ) -> Result<Vec<NodeAnswer>, ClientError> {
        let request = v1::StopClusterCaptureRequest {
            name: name.to_owned(),
            reason: self.reason(),
            no_wait,
            nodes: nodes.to_vec(),
        };
        let request = self.request(request, true);
        let answer = self.service().stop_cluster_capture(request).await;
        let answer = answer.map_err(|status| self.error(&status))?.into_inner();
        Ok(self.answers(answer.nodes))
    }

    /// Deletes a capture, on these nodes or on all that have it.
    pub async fn delete(
        &self,
        name: &str,
        nodes: &[String],
        stop: bool,
        keep_files: bool,
    ) -> Result<Vec<NodeAnswer>, ClientError> {
        let request = v1::DeleteClusterCaptureRequest {
            name: name.to_owned(),
            stop,
            keep_files,
            reason: self.reason(),
            nodes: nodes.to_vec(),
        };
        let request = self.request(request, true);
        let answer = self.service().delete_cluster_capture(request).await;
        let answer = answer.map_err(|status| self.error(&status))?.into_inner();
        Ok(self.answers(answer.nodes))
    }
}

fn answer(message: v1::ClusterNodeAnswer, timeout: Option<Duration>) -> NodeAnswer {
    let result = match (message.problem, message.capture) {
        (Some(problem), _) => {
            let status = Status::new(problem.code.into(), problem.message);
            Err(error::from_status(&status, timeout))
        }
        (None, Some(capture)) => Ok(Box::new(convert::capture(capture))),
        (None, None) => Err(ClientError::Damaged(
            "the coordinator answered neither with a capture nor with a problem".to_owned(),
        )),
    };
    NodeAnswer {
        node: message.node,
        result,
        files_removed: message.files_removed,
    }
}
