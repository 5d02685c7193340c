//! Prepares a cluster: lifecycle policy, index template, data stream or alias, dashboards. What the server has
//! is found by asking it. A repeat changes nothing but the template and the dashboards, which are ours.

mod dashboards;
mod objects;
mod server;

use std::fmt;

use bytes::Bytes;
use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::{
    client::{Answer, Body, Client, ClientError, RequestError},
    settings::{SearchSettings, environment},
};
pub use dashboards::{Flavour, saved_objects};
use objects::Target;
use server::{Product, Server};

/// Options of `search setup`.
#[derive(Debug, Clone, Args)]
pub struct SetupOptions {
    /// Print what would be sent, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// How long documents are kept, for example 30d or 12h.
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = keep)]
    pub keep: String,
    /// URL of Kibana or OpenSearch Dashboards, to import the dashboards.
    #[arg(long, value_name = "URL")]
    pub dashboards_url: Option<String>,
}

/// A time as clusters write it: a number and one of d, h, m.
fn keep(text: &str) -> Result<String, String> {
    let number = text.strip_suffix(['d', 'h', 'm']);
    let valid = number.and_then(|number| number.parse::<u32>().ok());
    match valid {
        Some(1..) => Ok(text.to_owned()),
        _ => Err("give a number of at least 1 with d, h or m, such as 30d".to_owned()),
    }
}

/// Why a cluster could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Settings are wrong.
    #[error("{}", .0.join("\n"))]
    Settings(Vec<String>),
    /// There is no client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A request was not answered.
    #[error("{0}")]
    Request(String),
    /// The server is no search server.
    #[error("{url} is no search server: {reason}")]
    NoServer {
        /// The server.
        url: String,
        /// What is wrong with its answer.
        reason: serde_json::Error,
    },
    /// The server refused a request.
    #[error("cannot create {what}: {said}")]
    Refused {
        /// What was to be created.
        what: String,
        /// What the server said.
        said: String,
    },
}

impl From<RequestError> for SetupError {
    fn from(error: RequestError) -> Self {
        Self::Request(error.to_string())
    }
}

/// What was done, for people.
#[derive(Debug, Default)]
pub struct Done(Vec<String>);

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Prepares a cluster.
///
/// # Errors
/// Settings are wrong, the server cannot be reached, or refuses something that is needed.
pub async fn setup(settings: &SearchSettings, options: &SetupOptions) -> Result<Done, SetupError> {
    let checked = settings.check(&environment).map_err(SetupError::Settings)?;
    let client = checked.client()?;
    let answer = client.send(Method::GET, "/", Body::None).await?;
    if !answer.status.is_success() {
        return Err(SetupError::Request(answer.said()));
    }
    let server = Server::read(&answer.body).map_err(|reason| SetupError::NoServer {
        url: answer.url.clone(),
        reason,
    })?;
    let mut setup = Setup {
        client,
        index: checked.index.clone(),
        product: server.product,
        dry_run: options.dry_run,
        done: Done::default(),
    };
    setup.say(format!(
        "{}: {} {}",
        answer.url,
        server.product.name(),
        server.version
    ));
    let policy = setup.policy(&options.keep).await?;
    setup.target(policy).await?;
    match &options.dashboards_url {
        Some(url) => setup.dashboards(settings, url).await?,
        None => setup.say(
            "dashboards: not imported; give --dashboards-url, or import deploy/dashboards by hand"
                .to_owned(),
        ),
    }
    Ok(setup.done)
}

struct Setup {
    client: Client,
    index: String,
    product: Product,
    dry_run: bool,
    done: Done,
}

impl Setup {
    fn say(&mut self, line: String) {
        self.done.0.push(line);
    }

    /// Creates something, unless this is a dry run: then it is only said, and there is no answer.
    async fn put(
        &mut self,
        what: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Option<Answer>, SetupError> {
        if self.dry_run {
            let text = body.map(|body| format!("{body:#}")).unwrap_or_default();
            self.say(format!("{what}: would send PUT {path} {text}"));
            return Ok(None);
        }
        let body = match body {
            Some(body) => Body::Json(Bytes::from(body.to_string())),
            None => Body::None,
        };
        Ok(Some(self.client.send(Method::PUT, path, body).await?))
    }

    /// Creates the lifecycle policy unless there is one, which may have been adapted. Whether there is one now.
    async fn policy(&mut self, keep: &str) -> Result<bool, SetupError> {
        let (path, policy) = objects::policy(&self.index, self.product, keep);
        let answer = self.client.send(Method::GET, &path, Body::None).await?;
        if answer.status.is_success() {
            self.say(format!(
                "policy {}: exists, and is kept as it is",
                self.index
            ));
            return Ok(true);
        }
        if is_missing_feature(&answer) {
            self.say(
                "policy: this server has no lifecycle management; documents are kept until somebody removes them"
                    .to_owned(),
            );
            return Ok(false);
        }
        let what = format!("policy {}", self.index);
        if let Some(answer) = self.put(&what, &path, Some(&policy)).await? {
            self.created(&what, &answer)?;
        }
        Ok(true)
    }

    /// Creates the template, and a data stream or else an alias.
    async fn target(&mut self, policy: bool) -> Result<(), SetupError> {
        let index = self.index.clone();
        let alias = format!("/_alias/{index}");
        let has_alias = self.client.send(Method::GET, &alias, Body::None).await?;
        if has_alias.status.is_success() {
            self.template(Target::Alias, policy).await?;
            self.say(format!("alias {index}: exists"));
            return Ok(());
        }
        self.template(Target::DataStream, policy).await?;
        let what = format!("data stream {index}");
        let path = format!("/_data_stream/{index}");
        let Some(answer) = self.put(&what, &path, None).await? else {
            self.say(format!(
                "if the server has no data streams: index {index}-000001 with alias {index} instead"
            ));
            return Ok(());
        };
        if String::from_utf8_lossy(&answer.body).contains("resource_already_exists_exception") {
            self.say(format!("{what}: exists"));
            return Ok(());
        }
        if !is_missing_feature(&answer) {
            return self.created(&what, &answer);
        }
        self.say("data streams: this server has none; an alias is used".to_owned());
        self.template(Target::Alias, policy).await?;
        let what = format!("index {index}-000001 with alias {index}");
        let body = objects::first_index(&index);
        if let Some(answer) = self
            .put(&what, &format!("/{index}-000001"), Some(&body))
            .await?
        {
            self.created(&what, &answer)?;
        }
        Ok(())
    }

    async fn template(&mut self, target: Target, policy: bool) -> Result<(), SetupError> {
        let what = format!("index template {}", self.index);
        let body = objects::template(&self.index, target, self.product, policy);
        let path = format!("/_index_template/{}", self.index);
        if let Some(answer) = self.put(&what, &path, Some(&body)).await? {
            self.created(&what, &answer)?;
        }
        Ok(())
    }

    fn created(&mut self, what: &str, answer: &Answer) -> Result<(), SetupError> {
        if !answer.status.is_success() {
            return Err(SetupError::Refused {
                what: what.to_owned(),
                said: answer.said(),
            });
        }
        self.say(format!("{what}: created"));
        Ok(())
    }

    /// Imports the dashboards.
    async fn dashboards(&mut self, settings: &SearchSettings, url: &str) -> Result<(), SetupError> {
        let other = SearchSettings {
            urls: vec![url.to_owned()],
            ..settings.clone()
        };
        let client = other
            .check(&environment)
            .map_err(SetupError::Settings)?
            .client()?;
        let flavour = match self.product {
            Product::Elasticsearch => Flavour::Kibana,
            Product::OpenSearch => Flavour::OpenSearch,
        };
        if self.dry_run {
            self.say(format!("dashboards: would be imported to {url}"));
            return Ok(());
        }
        let objects = saved_objects(flavour, &self.index);
        let answer = client.import(flavour.header(), objects).await?;
        let succeeded =
            serde_json::from_slice::<Value>(&answer.body).is_ok_and(|body| body["success"] == true);
        if !answer.status.is_success() || !succeeded {
            return Err(SetupError::Refused {
                what: "dashboards".to_owned(),
                said: answer.said(),
            });
        }
        self.say(format!("dashboards: imported to {url}"));
        Ok(())
    }
}

/// Whether the server does not know what it was asked for at all.
fn is_missing_feature(answer: &Answer) -> bool {
    let said = String::from_utf8_lossy(&answer.body);
    !answer.status.is_success()
        && (said.contains("no handler found")
            || said.contains("unsupported_operation_exception")
            || said.contains("not supported")
            || answer.status == reqwest::StatusCode::METHOD_NOT_ALLOWED)
}
