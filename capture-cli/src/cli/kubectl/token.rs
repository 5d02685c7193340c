//! The user's token, by which the coordinator knows them.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::Cluster;
use crate::cli::exit::Error;

/// A token: of a file, of a service account, or of kubectl's configuration.
pub(super) fn token(cluster: &Cluster) -> Result<String, Error> {
    let arguments = &cluster.arguments;
    if let Some(path) = &arguments.token_file {
        return read(path);
    }
    if let Some(account) = &arguments.service_account {
        return of_service_account(cluster, account);
    }
    let configuration = cluster
        .kubectl
        .json(&["config", "view", "--minify", "--raw"])?;
    let user = &configuration["users"][0]["user"];
    if let Some(token) = user["token"].as_str().filter(|token| !token.is_empty()) {
        return Ok(token.to_owned());
    }
    if let Some(path) = user["tokenFile"].as_str() {
        return read(path.as_ref());
    }
    if user["exec"].is_object() {
        return of_program(&user["exec"]);
    }
    Err(Error::Usage(
        "kubectl's configuration has no token for this user, by which the coordinator could know them: \
         give --token-file, or --service-account NAMESPACE/NAME"
            .to_owned(),
    ))
}

fn read(path: &std::path::Path) -> Result<String, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::Usage(format!("token file {}: {error}", path.display())))?;
    Ok(text.trim().to_owned())
}

/// Asks the API server for a token of a service account, valid for an hour.
fn of_service_account(cluster: &Cluster, account: &str) -> Result<String, Error> {
    let Some((namespace, name)) = account.split_once('/') else {
        return Err(Error::Usage(format!(
            "--service-account {account:?}: write NAMESPACE/NAME"
        )));
    };
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": { "expirationSeconds": 3600 },
    });
    let words = ["create", "--raw", &path, "-f", "-"];
    let answer = cluster
        .kubectl
        .run_with(&words, Some(&request.to_string()))?;
    let answer: Value = serde_json::from_str(&answer)?;
    text(&answer["status"]["token"])
        .ok_or_else(|| Error::Failed("the API server answered without a token".to_owned()))
}

/// Asks the program that kubectl's configuration names, as kubectl does (ExecCredential).
fn of_program(exec: &Value) -> Result<String, Error> {
    let program = text(&exec["command"])
        .ok_or_else(|| Error::Usage("kubectl's configuration: exec has no command".to_owned()))?;
    let mut command = Command::new(&program);
    for argument in exec["args"].as_array().into_iter().flatten() {
        command.arg(text(argument).unwrap_or_default());
    }
    for variable in exec["env"].as_array().into_iter().flatten() {
        if let (Some(name), Some(value)) = (text(&variable["name"]), text(&variable["value"])) {
            command.env(name, value);
        }
    }
    let info = json!({
        "apiVersion": exec["apiVersion"],
        "kind": "ExecCredential",
        "spec": { "interactive": false },
    });
    let output = command
        .env("KUBERNETES_EXEC_INFO", info.to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Error::Failed(format!("{program}, which makes tokens: {error}")))?;
    let credential: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| Error::Failed(format!("{program}, which makes tokens: {error}")))?;
    text(&credential["status"]["token"]).ok_or_else(|| {
        Error::Usage(format!(
            "{program} makes no token for this user: give --token-file or --service-account"
        ))
    })
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
