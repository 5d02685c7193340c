//! CaptureService.

use std::{sync::Arc, time::Duration};

use capture_proto::v1::{self, capture_service_server::CaptureService};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tonic::{Request, Response, Status};

use super::{
    Context, convert, packets, peer,
    status::{Violations, invalid},
    stream::{Answers, Gone, Sink, answer},
};
use crate::{
    audit,
    manager::{Capture, CaptureChange, CaptureRequest, ManagerError, State},
};

const MOST_PER_PAGE: u32 = 1000;
const PER_PAGE: u32 = 100;
const LEAST_LEDGER_INTERVAL: Duration = Duration::from_millis(100);

pub(super) struct Captures(pub(super) Context);

/// A page's size as it is asked for.
pub(super) fn page_size(asked: u32) -> usize {
    if asked == 0 {
        PER_PAGE as usize
    } else {
        asked.min(MOST_PER_PAGE) as usize
    }
}

impl Captures {
    fn get(&self, name: &str) -> Result<Arc<Capture>, Status> {
        if name.is_empty() {
            return Err(invalid("name", "it is empty: give the name of a capture"));
        }
        Ok(self.0.manager.get(name)?)
    }

    async fn start(&self, wanted: CaptureRequest) -> Result<v1::Capture, ManagerError> {
        let manager = self.0.manager.clone();
        // A client that goes away meanwhile does not leave half a capture behind.
        let started = tokio::spawn(async move { manager.start(wanted).await });
        let capture = started.await.map_err(|_| ManagerError::Internal)??;
        Ok(convert::capture(capture.snapshot()))
    }
}

/// Notes in the audit log what has become of an action.
fn note<T>(who: &str, action: &str, object: &str, reason: &str, result: &Result<T, Status>) {
    let outcome = result.as_ref().map(|_| ()).map_err(Status::message);
    audit::done(who, action, object, reason, outcome);
}

#[tonic::async_trait]
impl CaptureService for Captures {
    type WatchCapturesStream = Answers<v1::WatchCapturesResponse>;
    type StreamPacketsStream = Answers<v1::StreamPacketsResponse>;

    async fn start_capture(
        &self,
        request: Request<v1::StartCaptureRequest>,
    ) -> Result<Response<v1::StartCaptureResponse>, Status> {
        let who = peer::of(&request).identity;
        let request = request.into_inner();
        let (validate_only, reason) = (request.validate_only, request.reason.clone());
        let asked = request.name.clone();
        let result = async {
            let mut wrong = Violations::default();
            let wanted = convert::capture_request(request, &self.0.defaults, &who, &mut wrong);
            wrong.check()?;
            let wanted =
                wanted.ok_or_else(|| Status::internal("a wrong request was not refused"))?;
            if validate_only {
                self.0.manager.check(&wanted)?;
                return Ok(convert::capture(Capture::planned(wanted)));
            }
            Ok(self.start(wanted).await?)
        }
        .await;
        if !validate_only {
            let name = result
                .as_ref()
                .map_or(&asked, |capture: &v1::Capture| &capture.name);
            note(&who, "StartCapture", name, &reason, &result);
        }
        Ok(Response::new(v1::StartCaptureResponse {
            capture: Some(result?),
        }))
    }

    async fn stop_capture(
        &self,
        request: Request<v1::StopCaptureRequest>,
    ) -> Result<Response<v1::StopCaptureResponse>, Status> {
        let who = peer::of(&request).identity;
        let request = request.into_inner();
        let result = self.get(&request.name).and_then(|_| {
            let mut wrong = Violations::default();
            wrong.at_most("reason", &request.reason, 1024);
            wrong.check()?;
            Ok(self.0.manager.stop(&request.name)?)
        });
        note(&who, "StopCapture", &request.name, &request.reason, &result);
        let capture = result?;
        if !request.no_wait {
            capture.ended().await;
        }
        let capture = convert::capture(capture.snapshot());
        Ok(Response::new(v1::StopCaptureResponse {
            capture: Some(capture),
        }))
    }

    async fn get_capture(
        &self,
        request: Request<v1::GetCaptureRequest>,
    ) -> Result<Response<v1::GetCaptureResponse>, Status> {
        let capture = self.get(&request.into_inner().name)?;
        let capture = convert::capture(capture.snapshot());
        Ok(Response::new(v1::GetCaptureResponse {
            capture: Some(capture),
        }))
    }

    async fn list_captures(
        &self,
        request: Request<v1::ListCapturesRequest>,
    ) -> Result<Response<v1::ListCapturesResponse>, Status> {
        let request = request.into_inner();
        let mut wrong = Violations::default();
        let states: Vec<State> = request
            .states
            .iter()
            .enumerate()
            .filter_map(|(at, number)| {
                let state = convert::state_from(*number).ok_or("it is no state of a capture");
                wrong.take(format!("states[{at}]"), state)
            })
            .collect();
        let glob = (!request.name_glob.is_empty())
            .then(|| wrong.take("name_glob", globset::Glob::new(&request.name_glob)))
            .flatten()
            .map(|glob| glob.compile_matcher());
        wrong.check()?;
        let labels = request.labels.into_iter().collect();
        let page_size = page_size(request.page_size);
        let mut total = 0;
        let mut page: Vec<v1::Capture> = Vec::new();
        let mut more = false;
        // By name; a token is the last name of the page before.
        for (name, capture) in self.0.manager.by_name() {
            let wanted = glob
                .as_ref()
                .is_none_or(|glob| glob.is_match(name.as_str()))
                && (states.is_empty() || states.contains(&capture.state()))
                && capture.has_labels(&labels);
            if !wanted {
                continue;
            }
            total += 1;
            if name.as_str() <= request.page_token.as_str() {
                continue;
            }
            if page.len() < page_size {
                page.push(convert::capture(capture.snapshot()));
            } else {
                more = true;
            }
        }
        let next_page_token = match page.last() {
            Some(last) if more => last.name.clone(),
            _ => String::new(),
        };
        Ok(Response::new(v1::ListCapturesResponse {
            captures: page,
            next_page_token,
            total_size: total,
        }))
    }

    async fn update_capture(
        &self,
        request: Request<v1::UpdateCaptureRequest>,
    ) -> Result<Response<v1::UpdateCaptureResponse>, Status> {
        let who = peer::of(&request).identity;
        let request = request.into_inner();
        let (name, reason) = (request.name.clone(), request.reason.clone());
        let result = async {
            let capture = self.get(&request.name)?;
            let update = convert::update(&request)?;
            Ok(self
                .0
                .manager
                .update(&capture, request.expected_generation, update)
                .await?)
        }
        .await;
        note(&who, "UpdateCapture", &name, &reason, &result);
        let capture = convert::capture(result?.snapshot());
        Ok(Response::new(v1::UpdateCaptureResponse {
            capture: Some(capture),
        }))
    }

    async fn delete_capture(
        &self,
        request: Request<v1::DeleteCaptureRequest>,
    ) -> Result<Response<v1::DeleteCaptureResponse>, Status> {
        let who = peer::of(&request).identity;
        let request = request.into_inner();
        let name = request.name.clone();
        let result = async {
            self.get(&name)?;
            let manager = self.0.manager.clone();
            let name = name.clone();
            let deleted = tokio::spawn(async move {
                manager
                    .delete(&name, request.stop, request.keep_files)
                    .await
            });
            Ok(deleted.await.map_err(|_| ManagerError::Internal)??)
        }
        .await;
        note(&who, "DeleteCapture", &name, &request.reason, &result);
        let (capture, files_removed) = result?;
        let capture = convert::capture(capture.snapshot());
        Ok(Response::new(v1::DeleteCaptureResponse {
            capture: Some(capture),
            files_removed,
        }))
    }

    async fn watch_captures(
        &self,
        request: Request<v1::WatchCapturesRequest>,
    ) -> Result<Response<Self::WatchCapturesStream>, Status> {
        let request = request.into_inner();
        let mut wrong = Violations::default();
        let ledgers = request.ledger_interval.as_ref().and_then(|interval| {
            let interval = convert::duration(interval, LEAST_LEDGER_INTERVAL);
            wrong.take("ledger_interval", interval)
        });
        if request.names.len() > MOST_PER_PAGE as usize {
            wrong.add("names", format!("at most {MOST_PER_PAGE} are allowed"));
        }
        wrong.check()?;
        let manager = self.0.manager.clone();
        Ok(answer(&self.0.manager, |sink| {
            watch(manager, request, ledgers, sink)
        }))
    }

    async fn stream_packets(
        &self,
        request: Request<v1::StreamPacketsRequest>,
    ) -> Result<Response<Self::StreamPacketsStream>, Status> {
        let who = peer::of(&request).identity;
        let request = request.into_inner();
        let name = request.name.clone();
        let result = self
            .get(&name)
            .and_then(|capture| packets::stream(&self.0.manager, &capture, &request));
        note(&who, "StreamPackets", &name, "", &result);
        result
    }
}

async fn watch(
    manager: crate::manager::Manager,
    request: v1::WatchCapturesRequest,
    ledgers: Option<Duration>,
    sink: Sink<v1::WatchCapturesResponse>,
) -> Result<(), Gone> {
    let wanted = |capture: &Capture| {
        let named = request.names.is_empty()
            || request
                .names
                .iter()
                .any(|name| *name == capture.name().as_str());
        named && convert::labels_match(capture, &request.labels)
    };
    let mut follower = manager.follow();
    let mut ticks = ledgers.map(|ledgers| {
        let mut ticks = interval(ledgers);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        ticks
    });
    for (_, capture) in follower.changes() {
        if wanted(&capture) {
            send(&sink, v1::EventType::Present, Some(&capture)).await?;
        }
    }
    send(&sink, v1::EventType::Synced, None).await?;
    loop {
        tokio::select! {
            () = follower.changed() => {
                for (change, capture) in follower.changes() {
                    let kind = match change {
                        CaptureChange::Added => v1::EventType::Added,
                        CaptureChange::Changed => v1::EventType::Changed,
                        CaptureChange::Deleted => v1::EventType::Deleted,
                    };
                    if wanted(&capture) {
                        send(&sink, kind, Some(&capture)).await?;
                    }
                }
            }
            () = next(&mut ticks) => {
                for capture in manager.list() {
                    if capture.state().is_active() && wanted(&capture) {
                        send(&sink, v1::EventType::Ledger, Some(&capture)).await?;
                    }
                }
            }
        }
    }
}

async fn next(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => {
            ticks.tick().await;
        }
        None => std::future::pending().await,
    }
}

async fn send(
    sink: &Sink<v1::WatchCapturesResponse>,
    kind: v1::EventType,
    capture: Option<&Capture>,
) -> Result<(), Gone> {
    let capture = capture.map(|capture| convert::capture(capture.snapshot()));
    Ok(sink
        .send(Ok(v1::WatchCapturesResponse {
            r#type: kind.into(),
            capture,
        }))
        .await?)
}
