//! Metrics and health of a program over HTTP: `/metrics` for Prometheus, `/healthz` and `/readyz` for probes.
//! Connections are few and idle ones are closed, so that no client of this port takes the descriptors that the
//! program needs.

mod connections;

use std::{fmt, future::Future, io, net::SocketAddr};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;

use connections::Limited;

/// Connections at once: more than the scrapers and probes of a program. Each takes a descriptor.
pub const CONNECTIONS: u32 = 32;

/// The format of the metrics (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a program shows.
pub trait Source: Clone + Send + Sync + 'static {
    /// All metrics with their current values, in OpenMetrics text.
    fn metrics(&self) -> impl Future<Output = Result<String, fmt::Error>> + Send;

    /// Why the program cannot take work, one problem per line; `None`: it can.
    fn not_ready(&self) -> impl Future<Output = Option<String>> + Send;

    /// Why the program should be restarted; `None`: it should not.
    fn unhealthy(&self) -> Option<String> {
        None
    }
}

/// Serves the pages until `end`.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve<S: Source>(
    address: SocketAddr,
    source: S,
    end: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!("metrics at http://{address}/metrics");
    }
    let router = Router::new()
        .route("/metrics", get(metrics::<S>))
        .route("/healthz", get(healthz::<S>))
        .route("/readyz", get(readyz::<S>))
        .with_state(source);
    axum::serve(Limited::new(listener, CONNECTIONS as usize), router)
        .with_graceful_shutdown(end)
        .await
}

async fn healthz<S: Source>(State(source): State<S>) -> (StatusCode, String) {
    answer(source.unhealthy())
}

async fn readyz<S: Source>(State(source): State<S>) -> (StatusCode, String) {
    answer(source.not_ready().await)
}

fn answer(problem: Option<String>) -> (StatusCode, String) {
    match problem {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")),
    }
}

async fn metrics<S: Source>(State(source): State<S>) -> impl IntoResponse {
    match source.metrics().await {
        Ok(text) => (StatusCode::OK, [(CONTENT_TYPE, OPEN_METRICS)], text),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(CONTENT_TYPE, "text/plain")],
            error.to_string(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;
    use crate::connections::IDLE;

    #[derive(Clone)]
    struct Program {
        problem: Option<&'static str>,
    }

    impl Source for Program {
        async fn metrics(&self) -> Result<String, fmt::Error> {
            Ok("# EOF\n".to_owned())
        }

        async fn not_ready(&self) -> Option<String> {
            self.problem.map(str::to_owned)
        }
    }

    async fn start(problem: Option<&'static str>) -> SocketAddr {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        tokio::spawn(serve(address, Program { problem }, std::future::pending()));
        address
    }

    async fn connect(address: SocketAddr) -> TcpStream {
        loop {
            match TcpStream::connect(address).await {
                Ok(stream) => return stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    async fn get_page(address: SocketAddr, page: &str) -> String {
        let mut stream = connect(address).await;
        let request = format!("GET {page} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_program_that_cannot_take_work_says_why_and_stays_healthy() {
        let address = start(Some("the disk is full")).await;
        let ready = get_page(address, "/readyz").await;
        assert!(ready.starts_with("HTTP/1.1 503 "), "{ready}");
        assert!(ready.ends_with("\r\n\r\nthe disk is full\n"), "{ready}");
        let healthy = get_page(address, "/healthz").await;
        assert!(healthy.starts_with("HTTP/1.1 200 "), "{healthy}");
        let metrics = get_page(address, "/metrics").await;
        assert!(metrics.contains(OPEN_METRICS), "{metrics}");
    }

    #[tokio::test]
    async fn silent_connections_keep_no_scraper_out() {
        let address = start(None).await;
        let mut silent = Vec::new();
        for _ in 0..3 * CONNECTIONS {
            silent.push(connect(address).await);
        }
        let answer = get_page(address, "/metrics").await;
        assert!(answer.ends_with("# EOF\n"), "{answer}");
        // The oldest ones were closed for it, long before they would have been for being idle.
        let mut none = [0];
        for oldest in &mut silent[..2 * CONNECTIONS as usize] {
            let read = tokio::time::timeout(IDLE / 2, oldest.read(&mut none)).await;
            assert!(matches!(read, Ok(Ok(0) | Err(_))), "{read:?}");
        }
    }
}
