//! The attacks of `cargo xtask torture` that take seconds.

use std::process::Command;

use anyhow::{Result, ensure};
use capture_tests::{gate, recorder};

#[test]
fn what_takes_seconds_to_attack_holds() -> Result<()> {
    let Some(_permit) = gate::alone()? else {
        return Ok(());
    };
    let attacks = Command::new(env!("CARGO_BIN_EXE_capture-torture"))
        .arg("--quick")
        .env("CAPTURED", recorder::program()?)
        .output()?;
    let said = String::from_utf8_lossy(&attacks.stdout);
    ensure!(
        attacks.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&attacks.stderr)
    );
    ensure!(said.contains(" held, 0 fell"), "{said}");
    Ok(())
}
