//! Runs the web page with a daemon beside it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::requirements::Purpose;
use crate::stages::Stages;
use crate::workspace::Profile;
use crate::{build, command, setup, workspace};

/// Replaces this process by the web server, which ends with Ctrl-C. The daemon beside it ends with it.
pub(crate) fn serve(arguments: &[OsString], may_capture: bool) -> Result<()> {
    let mut stages = Stages::default();
    stages.time("set-up", || setup::prepare(&[Purpose::Build]))?;
    let packages = ["capture-daemon", "capture-web"];
    stages.time("build", || {
        build::packages(Profile::Release, None, &packages)
    })?;
    let directory = workspace::target().join("web");
    let socket = directory.join("captured.sock");
    let mut web = Command::new(Profile::Release.web());
    web.env("CAPTURE_WEB_SOCKET", &socket).args(arguments);
    if std::env::var_os("DATA_DIR").is_none() {
        web.env("DATA_DIR", directory.join("data"));
    }
    // Its usual port may be another program's.
    if std::env::var_os("CAPTURE_WEB_METRICS").is_none() {
        web.env("CAPTURE_WEB_METRICS", "");
    }
    if may_capture {
        let mut daemon = Command::new("setpriv");
        daemon
            .args(["--pdeathsig", "TERM"])
            .arg(Profile::Release.recorder())
            .args(["serve", "--metrics", "", "--data-dir", "./captures"])
            .arg("--state-dir")
            .arg(directory.join("state"))
            .arg("--socket")
            .arg(&socket)
            .args(["--set", "abstract_socket="]);
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("creating {}", directory.display()))?;
        eprintln!("+ {}", command::shown(&daemon));
        daemon.spawn().context("starting the daemon")?;
    } else {
        eprintln!("without root no captures can be started here; uploads can be analysed");
    }
    eprintln!("+ {}", command::shown(&web));
    Err(web.exec()).context("starting the web server")
}
