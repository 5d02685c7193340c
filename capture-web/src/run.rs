//! Runs the server from start to end.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    access::{Access, Accounts, Logins, Mode, Proxy, Rates},
    database::{Database, Engine},
    free_bytes,
    http::{self, App, Listener, Parts},
    live::{Live, Watch},
    metrics::{Current, Metrics, Pages},
    new_id,
    objects::{Bucket, Directory, Objects, create_private},
    queue::{Removal, Runner, RunnerSettings},
    scratch::Scratch,
    settings::{AccessSettings, BucketSettings, DatabaseSettings, LiveSettings, Settings},
    worker::Worker,
};

/// Between two rounds of removals.
const REMOVALS: Duration = Duration::from_secs(30);
/// Letters of the key of pseudonyms.
const SHORTEST_KEY: usize = 16;
/// How long work may take to stop.
const END: Duration = Duration::from_secs(10);

/// Runs until a signal to end.
///
/// # Errors
/// Something that is needed cannot be opened.
pub(crate) async fn run(settings: Settings) -> Result<()> {
    // The client of the object storage takes the process's provider.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    // Whatever is created here is for this user only.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let listener = Listener::bind(settings.listen, settings.tls.clone()).await?;
    create_private(&settings.data_dir).with_context(|| {
        format!(
            "data_dir {}: give a directory that can be written",
            settings.data_dir.display()
        )
    })?;
    let metrics = Metrics::default();
    let wake = Arc::new(Notify::new());
    let app = app(&settings, &metrics, &wake).await?;
    let stop = app.stop.clone();
    let work = TaskTracker::new();
    for runner in runners(&app, &wake)? {
        let stop = stop.clone();
        work.spawn(async move { runner.run(stop).await });
    }
    let removal = app.removal.clone();
    let stopped = stop.clone();
    work.spawn(async move { removal.run(stopped).await });
    let watching = app.clone();
    let watched = tokio::spawn(async move {
        if let Some(live) = &watching.live {
            watching.watch.run(live).await;
        }
    });
    let answered = {
        let (app, stop) = (app.clone(), stop.clone());
        tracing::info!("the page is at {}", listener.url());
        tokio::spawn(async move { http::serve(listener, http::router(app), stop).await })
    };
    tokio::select! {
        result = told_to_end() => result?,
        result = serve_metrics(&settings, &metrics, &app) => result?,
    }
    tracing::info!("ending");
    stop.cancel();
    work.close();
    if tokio::time::timeout(END, work.wait()).await.is_err() {
        tracing::warn!("work in progress is given up; another server continues with it");
    }
    watched.abort();
    let _ = answered.await;
    app.database.close().await;
    Ok(())
}

/// Returns when the process is told to end.
async fn told_to_end() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("handling signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("handling signals")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn app(settings: &Settings, metrics: &Metrics, wake: &Arc<Notify>) -> Result<App> {
    let database = database(settings).await?;
    let objects = match &settings.bucket {
        None => {
            let root = settings.data_dir.join("files");
            Objects::Directory(
                Directory::new(root.clone()).with_context(|| root.display().to_string())?,
            )
        }
        Some(bucket) => Objects::Bucket(self::bucket(bucket)?),
    };
    let scratch = settings.data_dir.join("scratch");
    let scratch = Scratch::new(&scratch, &new_id()?)
        .with_context(|| format!("work in progress in {}", scratch.display()))?;
    let (access, logins) = access(settings, &database)?;
    let (event_streams, packet_jobs) = Parts::turns();
    Ok(App::new(Parts {
        removal: Removal {
            database: database.clone(),
            objects: objects.clone(),
            most_bytes: settings.most_bytes,
            interval: REMOVALS.min(settings.lease),
            removed: Arc::new(Notify::new()),
        },
        worker: Worker {
            program: std::env::current_exe().context("finding this program")?,
            time: settings.analysis_time,
        },
        settings: settings.clone(),
        database,
        objects,
        scratch,
        access,
        logins,
        live: settings.live.clone().map(|live| match live {
            LiveSettings::Nodes(targets) => Live::Nodes(targets),
            LiveSettings::Coordinator(coordinator, token) => Live::Cluster(coordinator, token),
        }),
        watch: Watch::new(),
        metrics: metrics.clone(),
        upload_rates: Rates::new(settings.uploads.per_minute),
        wake: Arc::clone(wake),
        stop: CancellationToken::new(),
        event_streams,
        packet_jobs,
    }))
}

async fn database(settings: &Settings) -> Result<Database> {
    let engine = match &settings.database {
        DatabaseSettings::Sqlite => Engine::Sqlite(settings.data_dir.join("capture-web.sqlite")),
        DatabaseSettings::Postgres(options, password) => {
            let mut options = options.clone();
            if let Some(path) = password {
                let password = std::fs::read_to_string(path)
                    .with_context(|| format!("database_password_file {}", path.display()))?;
                *options = options.password(password.trim_end());
            }
            Engine::Postgres(options)
        }
    };
    Ok(Database::open(&engine).await?)
}

fn bucket(settings: &BucketSettings) -> Result<Bucket> {
    let mut builder =
        object_store::aws::AmazonS3Builder::from_env().with_bucket_name(&settings.name);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder
            .with_endpoint(endpoint)
            .with_allow_http(endpoint.starts_with("http://"));
    }
    let store = builder
        .build()
        .with_context(|| format!("bucket s3://{}", settings.name))?;
    Ok(Bucket::new(Arc::new(store), &settings.prefix))
}

fn access(settings: &Settings, database: &Database) -> Result<(Access, Option<Logins>)> {
    let (mode, logins) = match &settings.access {
        AccessSettings::Open => (Mode::Open, None),
        AccessSettings::Accounts(path) => {
            let accounts = Arc::new(Accounts::read(path.clone())?);
            let logins = Logins::new(Arc::clone(&accounts), database.clone(), settings.session)?;
            (Mode::Accounts(accounts), Some(logins))
        }
        AccessSettings::Proxy(proxy) => {
            let proxy = Proxy {
                user_header: proxy.user_header.clone(),
                role_header: proxy.role_header.clone(),
                role: proxy.role,
                addresses: proxy.addresses.clone(),
            };
            (Mode::Proxy(proxy), None)
        }
    };
    let database = database.clone();
    Ok((Access { mode, database }, logins))
}

fn runners(app: &App, wake: &Arc<Notify>) -> Result<Vec<Runner>> {
    let settings = &app.settings;
    let holder = format!("{}-{}", host(), new_id()?);
    let runner = Runner {
        database: app.database.clone(),
        objects: app.objects.clone(),
        worker: app.worker.clone(),
        scratch: app.scratch.clone(),
        settings: RunnerSettings {
            holder,
            lease: settings.lease,
            failures: settings.failures,
            keep: settings.keep,
            bounds: settings.bounds,
            redaction_key: redaction_key(settings)?,
        },
        wake: Arc::clone(wake),
        removed: Arc::clone(&app.removal.removed),
        metrics: app.metrics.clone(),
    };
    Ok((0..settings.workers).map(|_| runner.clone()).collect())
}

fn redaction_key(settings: &Settings) -> Result<Option<String>> {
    let Some(path) = &settings.redaction_key else {
        return Ok(None);
    };
    let key = std::fs::read_to_string(path)
        .with_context(|| format!("redaction_key_file {}", path.display()))?;
    let key = key.trim();
    anyhow::ensure!(
        key.len() >= SHORTEST_KEY,
        "redaction_key_file {}: give at least {SHORTEST_KEY} letters, as `openssl rand -hex 32` writes",
        path.display()
    );
    Ok(Some(key.to_owned()))
}

fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

async fn serve_metrics(settings: &Settings, metrics: &Metrics, app: &App) -> Result<()> {
    let Some(address) = settings.metrics else {
        return std::future::pending().await;
    };
    let (for_current, for_ready) = (app.clone(), app.clone());
    let pages = Pages {
        metrics: metrics.clone(),
        current: Arc::new(move || {
            let app = for_current.clone();
            Box::pin(async move {
                Current {
                    queue: app.database.queue().await.ok(),
                    free_bytes: free_bytes(&app.settings.data_dir),
                }
            })
        }),
        not_ready: Arc::new(move || {
            let app = for_ready.clone();
            Box::pin(async move { http::problems(&app).await })
        }),
    };
    capture_metrics::serve(address, pages, std::future::pending())
        .await
        .with_context(|| {
            format!(
                "metrics {address}: give another address (--metrics, CAPTURE_WEB_METRICS), or none (--metrics ''); \
                 captured and capture-export have the same one by default"
            )
        })
}
