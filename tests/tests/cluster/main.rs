//! The promises on a real Kubernetes cluster of two nodes: the images that `cargo xtask image` makes, installed by
//! Helm from the chart, capturing real pods that talk to each other. Nothing between is mocked.
//!
//! All tests share one cluster, one after the other: starting one takes a quarter of a minute, and some of them
//! kill what the others need.

mod captures;
mod cert_manager;
mod chart;
mod export;
mod faults;
mod installs;
mod lab;
mod moves;
mod rights;
mod users;
mod web;
mod workload;

use std::{
    panic,
    process::ExitCode,
    sync::{Mutex, OnceLock, PoisonError},
    time::Instant,
};

use anyhow::{Result, bail};
use capture_tests::gate;
use lab::Lab;
use libtest_mimic::{Arguments, Failed, Trial};

type Test = fn(&Lab) -> Result<()>;

/// In this order: what ends parts of the cluster comes late, then the removal of the chart, then what installs it anew.
const TESTS: &[(&str, Test)] = &[
    (
        "the_chart_is_valid_for_old_and_new_clusters_and_rejects_wrong_values",
        chart::the_chart_is_valid_for_old_and_new_clusters_and_rejects_wrong_values,
    ),
    (
        "an_upgrade_keeps_the_certificates_until_they_need_renewal",
        chart::an_upgrade_keeps_the_certificates_until_they_need_renewal,
    ),
    (
        "the_web_page_reports_on_an_upload_and_leaves_nothing_when_it_is_off",
        web::the_web_page_reports_on_an_upload_and_leaves_nothing_when_it_is_off,
    ),
    (
        "the_daemons_hold_three_capabilities_and_no_token",
        rights::the_daemons_hold_three_capabilities_and_no_token,
    ),
    (
        "service_accounts_may_do_what_they_need_and_nothing_else",
        rights::service_accounts_may_do_what_they_need_and_nothing_else,
    ),
    (
        "the_ledger_of_pods_on_two_nodes_equals_what_the_pods_counted",
        captures::the_ledger_of_pods_on_two_nodes_equals_what_the_pods_counted,
    ),
    (
        "manifests_of_users_apply_unchanged_and_end_completed",
        captures::manifests_of_users_apply_unchanged_and_end_completed,
    ),
    (
        "twenty_captures_of_one_pod_at_once_have_all_its_packets_each",
        captures::twenty_captures_of_one_pod_at_once_have_all_its_packets_each,
    ),
    (
        "users_capture_and_pull_through_kubectl_what_their_roles_permit",
        users::users_capture_and_pull_through_kubectl_what_their_roles_permit,
    ),
    (
        "files_of_a_resource_go_to_the_sink_that_it_names_and_its_status_says_so",
        export::files_of_a_resource_go_to_the_sink_that_it_names_and_its_status_says_so,
    ),
    (
        "a_pod_that_is_rescheduled_to_the_other_node_is_captured_there",
        moves::a_pod_that_is_rescheduled_to_the_other_node_is_captured_there,
    ),
    (
        "a_deployment_is_followed_from_one_to_ten_to_two_pods",
        moves::a_deployment_is_followed_from_one_to_ten_to_two_pods,
    ),
    (
        "a_killed_coordinator_starts_nothing_twice_and_loses_nothing",
        faults::a_killed_coordinator_starts_nothing_twice_and_loses_nothing,
    ),
    (
        "a_killed_daemon_goes_on_capturing_and_its_files_stay",
        faults::a_killed_daemon_goes_on_capturing_and_its_files_stay,
    ),
    (
        "captures_go_on_while_kubelet_and_containerd_are_killed",
        faults::captures_go_on_while_kubelet_and_containerd_are_killed,
    ),
    (
        "an_upgrade_of_the_daemons_interrupts_a_capture_and_says_so",
        faults::an_upgrade_of_the_daemons_interrupts_a_capture_and_says_so,
    ),
    (
        "captures_go_on_while_the_api_server_is_away",
        faults::captures_go_on_while_the_api_server_is_away,
    ),
    (
        "uninstalling_leaves_nothing_but_the_files",
        chart::uninstalling_leaves_nothing_but_the_files,
    ),
    (
        "certificates_of_cert_manager_are_waited_for_and_taken_again_without_a_restart",
        installs::certificates_of_cert_manager_are_waited_for_and_taken_again_without_a_restart,
    ),
    (
        "prometheus_finds_every_daemon_and_coordinator_by_the_service_monitor",
        installs::prometheus_finds_every_daemon_and_coordinator_by_the_service_monitor,
    ),
    (
        "nodes_that_share_a_claim_keep_their_files_apart_on_it",
        installs::nodes_that_share_a_claim_keep_their_files_apart_on_it,
    ),
];

/// Started by the first test that runs.
static LAB: OnceLock<Mutex<State>> = OnceLock::new();

#[derive(Default)]
enum State {
    #[default]
    NotStarted,
    Runs(Box<Lab>),
    /// It cannot run here, which has been reported.
    Cannot,
    /// It did not start, and would not the next time.
    Failed(String),
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trials = TESTS
        .iter()
        .map(|&(name, test)| {
            // `cargo xtask test` runs them beside the others, which it tells apart by this.
            let full = format!("on_two_nodes::{name}");
            Trial::test(full, move || timed(name, test).map_err(failed))
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let lab = LAB.get().map(|lab| {
        let mut lab = lab.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *lab)
    });
    if let Some(State::Runs(lab)) = lab
        && let Err(error) = lab.end()
    {
        eprintln!("the cluster did not end: {error:#}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

/// Says what a test took: they share a cluster, and CI has minutes for all of them.
fn timed(name: &str, test: Test) -> Result<()> {
    let start = Instant::now();
    let outcome = run(test);
    eprintln!("{:5.1} s {name}", start.elapsed().as_secs_f64());
    outcome
}

fn failed(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}

fn start() -> State {
    let started = gate::beside_others().and_then(|permit| {
        let Some(permit) = permit else {
            return Ok(State::Cannot);
        };
        // Until this process ends: a test that must run alone may not while there is a cluster.
        std::mem::forget(permit);
        let lab = Lab::start()?;
        Ok(lab.map_or(State::Cannot, |lab| State::Runs(Box::new(lab))))
    });
    started.unwrap_or_else(|error| State::Failed(format!("{error:#}")))
}

fn run(test: Test) -> Result<()> {
    let lab = LAB.get_or_init(Mutex::default);
    let mut lab = lab.lock().unwrap_or_else(PoisonError::into_inner);
    let is_first = matches!(*lab, State::NotStarted);
    if is_first {
        *lab = start();
    }
    let lab = match &*lab {
        State::Runs(lab) => lab,
        State::Failed(error) => bail!("the cluster did not start: {error}"),
        State::NotStarted | State::Cannot if is_first => return Ok(()),
        State::NotStarted | State::Cannot => return gate::cannot_run("there is no cluster"),
    };
    let outcome = panic::catch_unwind(panic::AssertUnwindSafe(|| test(lab)));
    match outcome {
        Ok(Ok(())) => lab.clean(),
        Ok(Err(error)) => {
            eprintln!("{}", lab.diagnosis());
            lab.clean()?;
            Err(error)
        }
        Err(panic) => {
            eprintln!("{}", lab.diagnosis());
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            bail!("panicked: {}", text.unwrap_or_default())
        }
    }
}
