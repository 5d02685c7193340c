//! CaptureService.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use capture_proto::v1::{self, capture_service_server::CaptureService};
use prost::Message as _;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tonic::{Request, Response, Status};

use super::{
    Context, bounds, convert, packets, peer,
    status::Violations,
    stream::{Answers, Gone, STREAM_MEMORY, Sink, answer},
};
use crate::{
    audit,
    manager::{Capture, CaptureChange, CaptureRequest, ManagerError, State},
};
use capture_types::CaptureName;

const PER_PAGE: u32 = 100;
const LEAST_LEDGER_INTERVAL: Duration = Duration::from_millis(100);

pub(super) struct Captures(pub(super) Context);

/// The page size for a request.
pub(super) fn page_size(asked: u32) -> usize {
    if asked == 0 {
        PER_PAGE as usize
    } else {
        asked.min(bounds::PAGE) as usize
    }
}

impl Captures {
    fn get(&self, name: &str) -> Result<Arc<Capture>, Status> {
        super::capture(&self.0.manager, "name", name)
    }

    async fn start(&self, wanted: CaptureRequest) -> Result<v1::Capture, ManagerError> {
        let manager = self.0.manager.clone();
        // A client that disconnects meanwhile must not leave half a capture behind.
        let started = tokio::spawn(async move { manager.start(wanted).await });
        let capture = started.await.map_err(|_| ManagerError::Internal)??;
        Ok(convert::capture(capture.snapshot()))
    }
}

/// Records the outcome of an action in the audit log.
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
        let (defaults, by) = (Arc::clone(&self.0.defaults), Arc::clone(&who));
        let converted = move || convert::capture_request(request, &defaults, &by);
        let result = async {
            let wanted = self.0.compilers.run(&who, converted).await??;
            if validate_only {
                self.0.manager.check(&wanted).await?;
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
            wrong.at_most("reason", &request.reason, bounds::REASON);
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
        wrong.at_most("page_token", &request.page_token, bounds::PAGE_TOKEN);
        let after = match request.page_token.as_str() {
            "" => None,
            token => wrong.take(
                "page_token",
                CaptureName::new(token).map_err(|_| "it is not from a response of this call"),
            ),
        };
        convert::check_labels(request.labels.iter(), &mut wrong);
        wrong.at_most_elements("states", request.states.len(), bounds::STATES);
        let states: Vec<State> = request
            .states
            .iter()
            .take(bounds::STATES)
            .enumerate()
            .filter_map(|(at, number)| {
                let state = convert::state_from(*number).ok_or("it is not a state of a capture");
                wrong.take(format!("states[{at}]"), state)
            })
            .collect();
        let has_glob = !request.name_glob.is_empty()
            && wrong.at_most("name_glob", &request.name_glob, bounds::NAME_GLOB);
        let glob = has_glob
            .then(|| wrong.take("name_glob", globset::Glob::new(&request.name_glob)))
            .flatten()
            .map(|glob| glob.compile_matcher());
        wrong.check()?;
        let labels = request.labels.into_iter().collect();
        let page_size = page_size(request.page_size);
        let mut total = 0;
        let mut page: Vec<v1::Capture> = Vec::new();
        let (mut more, mut bytes) = (false, 0);
        // Sorted by name; a token is the last name of the previous page.
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
            if after.as_ref().is_some_and(|after| name <= *after) {
                continue;
            }
            if page.len() < page_size && bytes < bounds::PAGE_BYTES && !more {
                let capture = convert::capture(capture.snapshot());
                bytes += capture.encoded_len();
                page.push(capture);
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
            let expected = request.expected_generation;
            let converted = move || convert::update(&request);
            let update = self.0.compilers.run(&who, converted).await??;
            let manager = self.0.manager.clone();
            // A client that disconnects meanwhile must not leave half an update behind.
            let updated =
                tokio::spawn(async move { manager.update(&capture, expected, update).await });
            Ok(updated.await.map_err(|_| ManagerError::Internal)??)
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
            let mut wrong = Violations::default();
            wrong.at_most("reason", &request.reason, bounds::REASON);
            wrong.check()?;
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
        let who = peer::of(&request).identity;
        let request = request.into_inner();
        let mut wrong = Violations::default();
        let ledgers = request.ledger_interval.as_ref().and_then(|interval| {
            let interval = convert::duration(interval, LEAST_LEDGER_INTERVAL);
            wrong.take("ledger_interval", interval)
        });
        if wrong.at_most_elements("names", request.names.len(), bounds::NAMES) {
            for (at, name) in request.names.iter().enumerate() {
                wrong.at_most(&format!("names[{at}]"), name, bounds::CAPTURE_NAME);
            }
        }
        convert::check_labels(request.labels.iter(), &mut wrong);
        wrong.check()?;
        let manager = self.0.manager.clone();
        let memory = self.0.memory.reserve(&who, STREAM_MEMORY)?;
        Ok(answer(&self.0.manager, memory, |sink| {
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
        let result = async {
            let capture = self.get(&name)?;
            packets::stream(&self.0, capture, request, &who).await
        }
        .await;
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
    let names: HashSet<&str> = request.names.iter().map(String::as_str).collect();
    let labels = request.labels.clone().into_iter().collect();
    let wanted = |capture: &Capture| {
        (names.is_empty() || names.contains(capture.name().as_str())) && capture.has_labels(&labels)
    };
    let mut follower = manager.follow();
    let mut ticks = ledgers.map(|ledgers| {
        let mut ticks = interval(ledgers);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        ticks
    });
    let whole = |capture: &Capture| convert::capture(capture.snapshot());
    for (_, capture) in follower.changes() {
        if wanted(&capture) {
            send(&sink, v1::EventType::Present, Some(whole(&capture))).await?;
        }
    }
    send(&sink, v1::EventType::Synced, None).await?;
    // The counts sent last, by uid.
    let mut sent: HashMap<String, v1::Capture> = HashMap::new();
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
                        send(&sink, kind, Some(whole(&capture))).await?;
                    }
                }
            }
            () = next(&mut ticks) => {
                let began = Instant::now();
                let mut now = HashMap::new();
                for capture in manager.list() {
                    if !capture.state().is_active() || !wanted(&capture) {
                        continue;
                    }
                    let counts = convert::counts(&capture.counts());
                    if sent.get(&counts.uid) != Some(&counts) {
                        send(&sink, v1::EventType::Ledger, Some(counts.clone())).await?;
                    }
                    now.insert(counts.uid.clone(), counts);
                }
                sent = now;
                if let (Some(ticks), Some(ledgers)) = (&mut ticks, ledgers) {
                    // At most a twentieth of a core, however many interfaces there are.
                    ticks.reset_after(ledgers.max(began.elapsed() * 20));
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
    capture: Option<v1::Capture>,
) -> Result<(), Gone> {
    Ok(sink
        .send(Ok(v1::WatchCapturesResponse {
            r#type: kind.into(),
            capture,
        }))
        .await?)
}
