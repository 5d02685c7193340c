//! Calls on captures.

use std::{collections::BTreeMap, time::Duration};

use capture_proto::v1::{self, capture_service_client::CaptureServiceClient};
use futures_util::{Stream, StreamExt as _};
use tonic::{Request, transport::Channel};

use crate::model::{Capture, Event, Span, Spec, State, StreamEvent};
use crate::{Client, ClientError, client::LARGEST_MESSAGE, convert};

/// Changes of a capture.
#[derive(Debug, Clone, Default)]
pub struct Update {
    /// The new values.
    pub spec: Spec,
    /// The new labels.
    pub labels: BTreeMap<String, String>,
    /// The fields to change, by their names in the API.
    pub paths: Vec<String>,
    /// The expected generation of the capture, if set.
    pub generation: Option<u64>,
}

/// Captures requested per page.
const PAGE: u32 = 200;

impl Client {
    fn captures(&self) -> CaptureServiceClient<Channel> {
        CaptureServiceClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// Starts a capture. The request is idempotent: it has a unique id.
    pub async fn start(
        &self,
        name: &str,
        spec: Spec,
        labels: BTreeMap<String, String>,
        request_id: &str,
        validate_only: bool,
    ) -> Result<Capture, ClientError> {
        let request = v1::StartCaptureRequest {
            name: name.to_owned(),
            spec: Some(convert::spec_to_proto(spec)),
            labels: labels.into_iter().collect(),
            request_id: request_id.to_owned(),
            reason: self.reason(),
            validate_only,
        };
        let answer = self.captures().start_capture(self.request(request)).await;
        let answer = answer.map_err(|status| self.error(&status))?.into_inner();
        Ok(convert::capture(answer.capture.unwrap_or_default()))
    }

    /// Stops a capture and, unless `no_wait`, waits until everything is on disk.
    pub async fn stop(&self, name: &str, no_wait: bool) -> Result<Capture, ClientError> {
        let request = v1::StopCaptureRequest {
            name: name.to_owned(),
            reason: self.reason(),
            no_wait,
        };
        let answer = self.captures().stop_capture(self.request(request)).await;
        let answer = answer.map_err(|status| self.error(&status))?.into_inner();
        Ok(convert::capture(answer.capture.unwrap_or_default()))
    }

    /// A capture with its current counts.
    pub async fn get(&self, name: &str) -> Result<Capture, ClientError> {
        let request = v1::GetCaptureRequest {
            name: name.to_owned(),
        };
        let answer = self.captures().get_capture(self.request(request)).await;
        let answer = answer.map_err(|status| self.error(&status))?.into_inner();
        Ok(convert::capture(answer.capture.unwrap_or_default()))
    }

    /// All captures that match, by name.
    pub async fn list(
        &self,
        glob: &str,
        states: &[State],
        labels: &BTreeMap<String, String>,
    ) -> Result<Vec<Capture>, ClientError> {
        let mut captures = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListCapturesRequest {
                page_size: PAGE,
                page_token: page_token.clone(),
                states: states.iter().map(|state| state_number(*state)).collect(),
                labels: labels.clone().into_iter().collect(),
                name_glob: glob.to_owned(),
            };
            let answer = self.captures().list_captures(self.request(request)).await;
            let answer = answer.map_err(|status| self.error(&status))?.into_inner();
            captures.extend(answer.captures.into_iter().map(convert::capture));
            if answer.next_page_token == page_token && !page_token.is_empty() {
                return Err(ClientError::Damaged(
                    "the node answers a list of captures with the same page for ever".to_owned(),
                ));
            }
            page_token = answer.next_page_token;
            if page_token.is_empty() {
                return Ok(captures);
            }
        }
    }

    /// Changes a capture.
    pub async fn update(&self, name: &str, update: Update) -> Result<Capture, ClientError> {
        let request = v1::UpdateCaptureRequest {
            name: name.to_owned(),
            spec: Some(convert::spec_to_proto(update.spec)),
            labels: update.labels.into_iter().collect(),
            update_mask: Some(prost_types::FieldMask {
                paths: update.paths,
            }),
            expected_generation: update.generation,
            reason: self.reason(),
        };
        let answer = self.captures().update_capture(self.request(request)).await;
        let answer = answer.map_err(|status| self.error(&status))?.into_inner();
        Ok(convert::capture(answer.capture.unwrap_or_default()))
    }

    /// Deletes a capture; returns it, and the number of removed files.
    pub async fn delete(
        &self,
        name: &str,
        stop: bool,
        keep_files: bool,
    ) -> Result<(Capture, u64), ClientError> {
        let request = v1::DeleteCaptureRequest {
            name: name.to_owned(),
            stop,
            keep_files,
            reason: self.reason(),
        };
        let answer = self.captures().delete_capture(self.request(request)).await;
        let answer = answer.map_err(|status| self.error(&status))?.into_inner();
        let capture = convert::capture(answer.capture.unwrap_or_default());
        Ok((capture, answer.files_removed))
    }

    /// Captures with their current state, then their changes. Has no deadline.
    pub async fn watch(
        &self,
        names: &[String],
        labels: &BTreeMap<String, String>,
        ledger_interval: Option<Duration>,
    ) -> Result<impl Stream<Item = Result<Event, ClientError>> + Send + use<>, ClientError> {
        let request = v1::WatchCapturesRequest {
            names: names.to_vec(),
            labels: labels.clone().into_iter().collect(),
            ledger_interval: ledger_interval.map(|i| convert::time::duration(Span(i))),
        };
        let answer = self.captures().watch_captures(Request::new(request)).await;
        let stream = answer.map_err(|status| self.error(&status))?.into_inner();
        Ok(stream.map(|event| match event {
            Ok(event) => Ok(convert::event(event)),
            Err(status) => Err(crate::error::from_status(&status, None)),
        }))
    }

    /// A copy of a capture's packets as they arrive. Has no deadline.
    pub async fn stream_packets(
        &self,
        name: &str,
        filter: &str,
        snaplen: Option<u32>,
        buffer_size: Option<u32>,
    ) -> Result<impl Stream<Item = Result<StreamEvent, ClientError>> + Send + use<>, ClientError>
    {
        let request = v1::StreamPacketsRequest {
            name: name.to_owned(),
            filter: filter.to_owned(),
            snaplen,
            buffer_size,
        };
        let answer = self.captures().stream_packets(Request::new(request)).await;
        let stream = answer.map_err(|status| self.error(&status))?.into_inner();
        Ok(stream.filter_map(async |event| match event {
            Ok(event) => convert::stream_event(event).map(Ok),
            Err(status) => Some(Err(crate::error::from_status(&status, None))),
        }))
    }
}

fn state_number(state: State) -> i32 {
    match state {
        State::Pending => v1::CaptureState::Pending,
        State::Running => v1::CaptureState::Running,
        State::Stopping => v1::CaptureState::Stopping,
        State::Completed => v1::CaptureState::Completed,
        State::Failed => v1::CaptureState::Failed,
        State::Interrupted => v1::CaptureState::Interrupted,
        State::Unknown => v1::CaptureState::Unspecified,
    }
    .into()
}
