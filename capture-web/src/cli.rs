//! The command line.

use std::{
    io::{IsTerminal as _, Read as _, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand, ValueEnum};

use crate::{
    access::{Token, hash_password, token_hash},
    api::openapi,
    audit, run,
    settings::{self, Layer, Settings},
    worker,
};

/// The web page of packet captures and its HTTP API: start and watch captures, upload files, analyse them, share
/// reports.
#[derive(Debug, Parser)]
#[command(
    name = "capture-web",
    version,
    args_conflicts_with_subcommands = true,
    after_help = EXAMPLES
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Configuration file, TOML; options and environment take precedence.
    #[arg(long, value_name = "FILE", env = "CAPTURE_WEB_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Layer,
}

const EXAMPLES: &str = "\
Examples:
  On a laptop, for this machine only:
    capture-web

  For others, with TLS and accounts:
    capture-web account alice --role analyst >> accounts.toml
    capture-web --listen 0.0.0.0:8443 --tls-certificate web.pem --tls-key web.key --accounts accounts.toml

  One of many replicas:
    capture-web --database postgres://web@db:5432/web --database-password-file password \\
        --bucket s3://captures/web";

#[derive(Debug, Subcommand)]
enum Command {
    /// Settings: print those in force, or all of them with their meanings.
    #[command(subcommand)]
    Config(Box<ConfigCommand>),
    /// Print an entry for the file of accounts; the password is read from stdin.
    Account {
        /// The account's name.
        name: String,
        /// What the account may do.
        #[arg(long, value_enum)]
        role: RoleArg,
    },
    /// Print a new token for a program, and the entry for the file of accounts.
    Token {
        /// The program's name.
        name: String,
        /// What the program may do.
        #[arg(long, value_enum)]
        role: RoleArg,
    },
    /// Print the OpenAPI document of the HTTP API.
    Openapi,
    /// Read capture files for the server. Started by the server only.
    #[command(hide = true)]
    Worker,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print each setting in force and where it came from, after checking all of them.
    Print {
        /// Configuration file, TOML; options and environment take precedence.
        #[arg(long, value_name = "FILE", env = "CAPTURE_WEB_CONFIG")]
        config: Option<PathBuf>,
        #[command(flatten)]
        settings: Box<Layer>,
    },
    /// Print every setting with its meaning, variable, flag and default, as a file to start from.
    Defaults,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleArg {
    /// See captures and own reports.
    Viewer,
    /// Also upload, analyse, start and change captures, delete own reports.
    Analyst,
    /// Also see and delete reports of others.
    Admin,
}

impl RoleArg {
    const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Analyst => "analyst",
            Self::Admin => "admin",
        }
    }
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// The error, with its context.
    pub fn run(self) -> Result<()> {
        match self.command {
            Some(Command::Config(command)) => match *command {
                ConfigCommand::Print { config, settings } => print_settings(config, *settings),
                ConfigCommand::Defaults => print(&settings::documented()),
            },
            Some(Command::Account { name, role }) => account(&name, role),
            Some(Command::Token { name, role }) => token(&name, role),
            Some(Command::Openapi) => print(&openapi::document()?),
            Some(Command::Worker) => worker::run(),
            None => {
                let below = file(self.config)?;
                let settings = self.settings.over(below).check()?;
                log(&settings);
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .enable_all()
                    .build()
                    .context("starting threads")?;
                let ended = runtime.block_on(run::run(settings));
                runtime.shutdown_timeout(std::time::Duration::from_millis(500));
                ended
            }
        }
    }
}

fn file(path: Option<PathBuf>) -> Result<Layer> {
    Ok(match path {
        Some(path) => Layer::read(&path)?,
        None => Layer::default(),
    })
}

fn print_settings(config: Option<PathBuf>, above: Layer) -> Result<()> {
    let shown = config.as_ref().map(|path| path.display().to_string());
    let below = file(config)?;
    let merged = above.clone().over(below);
    merged.check()?;
    let mut text = String::new();
    for described in settings::ALL {
        let find = |layer: &Layer| {
            let mut set = layer.set();
            set.find(|(name, _)| *name == described.name)
                .map(|(_, value)| value.to_owned())
        };
        let flag = described.name.replace('_', "-");
        let (value, origin) = match (find(&above), find(&merged)) {
            (Some(value), _) if std::env::var(described.variable).as_ref() == Ok(&value) => {
                (value, format!("environment {}", described.variable))
            }
            (Some(value), _) => (value, format!("flag --{flag}")),
            (None, Some(value)) => (
                value,
                format!("file {}", shown.as_deref().unwrap_or_default()),
            ),
            (None, None) => (described.default.to_owned(), "default".to_owned()),
        };
        text += &format!("{} = {value:?}  # {origin}\n", described.name);
    }
    print(&text)
}

fn account(name: &str, role: RoleArg) -> Result<()> {
    if std::io::stdin().is_terminal() {
        eprintln!("Type the password, then Enter and Control-D:");
    }
    let mut password = String::new();
    std::io::stdin()
        .take(4096)
        .read_to_string(&mut password)
        .context("reading the password")?;
    let password = password.trim_end_matches(['\r', '\n']);
    ensure!(
        password.chars().count() >= 8,
        "a password has at least 8 letters: write it to stdin"
    );
    let hash = hash_password(password).map_err(anyhow::Error::msg)?;
    entry("account", name, role, "password", &hash)
}

fn token(name: &str, role: RoleArg) -> Result<()> {
    let token = Token::new()?;
    eprintln!(
        "The token, which is shown only now and stored nowhere:\n{}",
        token.text()
    );
    entry("token", name, role, "sha256", &token_hash(token.text()))
}

/// Prints an entry of the file of accounts.
fn entry(table: &str, name: &str, role: RoleArg, key: &str, value: &str) -> Result<()> {
    let name = toml::Value::String(name.to_owned());
    let role = role.name();
    print(&format!(
        "[[{table}]]\nname = {name}\nrole = {role:?}\n{key} = {value:?}\n\n"
    ))
}

fn print(text: &str) -> Result<()> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("writing")
}

/// Logs to stderr.
fn log(settings: &Settings) {
    // Audit lines are written at every level.
    let filter = format!("{},{}=info", settings.log_level, audit::TARGET);
    let lines = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr);
    if settings.log_json {
        lines.json().flatten_event(true).init();
    } else {
        let colours = std::io::stderr().is_terminal();
        lines.with_ansi(colours).with_target(false).init();
    }
}
