//! `kubectl`, as the user has it: their configuration, their rights.

use std::{
    ffi::OsString,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::cli::exit::Error;

/// `kubectl` with the options that lead to the cluster.
#[derive(Debug, Clone)]
pub(super) struct Kubectl {
    options: Vec<OsString>,
}

impl Kubectl {
    pub(super) fn new(kubeconfig: Option<&Path>, context: Option<&str>) -> Self {
        let mut options = Vec::new();
        if let Some(path) = kubeconfig {
            options.extend(["--kubeconfig".into(), path.into()]);
        }
        if let Some(name) = context {
            options.extend(["--context".into(), name.into()]);
        }
        Self { options }
    }

    /// A command, with nothing on its standard input.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.args(&self.options).args(words).stdin(Stdio::null());
        command
    }

    /// What it prints.
    pub(super) fn run(&self, words: &[&str]) -> Result<String, Error> {
        self.run_with(words, None)
    }

    /// What it prints when it reads this.
    pub(super) fn run_with(&self, words: &[&str], input: Option<&str>) -> Result<String, Error> {
        let mut command = self.command(words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().map_err(|error| {
            Error::Failed(format!(
                "kubectl cannot be started: {error}; is it in the PATH?"
            ))
        })?;
        if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
            // One that ends before it has read everything says why.
            let _ = pipe.write_all(input.as_bytes());
        }
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = message(&String::from_utf8_lossy(&output.stderr));
        if said.contains("(NotFound)") {
            return Err(Error::NotFound(said));
        }
        Err(Error::Failed(format!("kubectl {}: {said}", words[0])))
    }

    /// What it prints as JSON.
    pub(super) fn json(&self, words: &[&str]) -> Result<Value, Error> {
        let text = self.run(&[words, &["-o", "json"]].concat())?;
        serde_json::from_str(&text)
            .map_err(|error| Error::Failed(format!("kubectl {}: {error}", words[0])))
    }

    /// The answer of the API server to a GET of a path. What is behind the API server may hang: it has ten seconds.
    pub(super) fn raw(&self, path: &str) -> Result<Value, Error> {
        let text = self.run(&["get", "--raw", path, "--request-timeout=10s"])?;
        serde_json::from_str(&text)
            .map_err(|error| Error::Failed(format!("kubectl get --raw {path}: {error}")))
    }
}

/// What kubectl says of a failure, in one line: without the lines that its libraries log before it, such as
/// `E1127 10:54:01.370862   18804 memcache.go:265] "Unhandled Error" ...` five times.
pub(super) fn message(stderr: &str) -> String {
    let lines = || {
        stderr
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
    };
    let said: Vec<_> = lines().filter(|line| !is_logged(line)).collect();
    if said.is_empty() {
        lines().next_back().unwrap_or_default().to_owned()
    } else {
        said.join("; ")
    }
}

/// Whether klog wrote a line: severity, month and day, time, process, file and line.
fn is_logged(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let is_day = words.next().is_some_and(|word| {
        word.strip_prefix(['I', 'W', 'E', 'F'])
            .is_some_and(|day| day.len() == 4 && day.bytes().all(|byte| byte.is_ascii_digit()))
    });
    is_day && words.nth(2).is_some_and(|place| place.ends_with(']'))
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn what_kubectl_says_is_told_without_its_log() {
        let logged =
            "E1127 10:54:01.370862   18804 memcache.go:265] \"Unhandled Error\" err=\"refused\"\n";
        let said = "The connection to the server localhost:8080 was refused\n";
        assert_eq!(message(&[logged, logged, said].concat()), said.trim());
        assert_eq!(message("error: one\n\n  two\n"), "error: one; two");
        assert_eq!(message(&[logged, logged].concat()), logged.trim());
        assert_eq!(message("E1127 is no pod\n"), "E1127 is no pod");
        assert_eq!(message(""), "");
    }
}
