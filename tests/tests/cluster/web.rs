//! The web page of the chart: off, on, and off again.

use std::{
    env,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use capture_image::Architecture;
use capture_tests::{netns::Namespace, wait};
use serde_json::{Value, json};

use crate::lab::{Lab, NAMESPACE, PATIENCE, is_ready};

const WEB: &str = "capture-web";
const COMPONENT: &str = "app.kubernetes.io/component=web";
/// Where the node has the volume.
const VOLUME: &str = "/var/lib/capture-web";
const PACKETS: u32 = 300;

pub(crate) fn the_web_page_reports_on_an_upload_and_leaves_nothing_when_it_is_off(
    lab: &Lab,
) -> Result<()> {
    import(lab)?;
    let volume = volume(lab)?;
    lab.cluster.apply(&volume.to_string())?;
    lab.install(&["web.enabled=true", "web.withoutAccounts=true"])?;
    let outcome = a_report_comes_back(lab);
    lab.install(&[])?;
    outcome?;
    wait::within(PATIENCE, "the pod of the page to end", || {
        Ok(lab.pods(NAMESPACE, COMPONENT)?.is_empty().then_some(()))
    })?;
    let kinds = "all,persistentvolumeclaims,serviceaccounts,networkpolicies,ingresses,secrets,configmaps,\
                 clusterroles,clusterrolebindings";
    let words = ["get", kinds, "--all-namespaces", "-o", "name"];
    let names = lab.cluster.kubectl(&words)?;
    let left: Vec<&str> = names.lines().filter(|name| name.contains(WEB)).collect();
    ensure!(left.is_empty(), "left behind: {left:?}");
    // The volume is the administrator's.
    lab.cluster.kubectl(&["delete", "pv", WEB]).map(drop)
}

fn import(lab: &Lab) -> Result<()> {
    let images = env::var_os("CAPTURE_TEST_CLUSTER_IMAGES").context("no images")?;
    let file = format!("{WEB}-{}.tar", Architecture::native()?.name());
    lab.cluster.import(&Path::new(&images).join(file))
}

/// A volume on the disk of a node, as an administrator without a provisioner makes one.
fn volume(lab: &Lab) -> Result<Value> {
    let node = lab.cluster.nodes().first().context("no node")?;
    lab.cluster.run_in(node, &["mkdir", "-p", VOLUME])?;
    Ok(json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": { "name": WEB },
        "spec": {
            "capacity": { "storage": "20Gi" },
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "local": { "path": VOLUME },
            "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [
                { "key": "kubernetes.io/hostname", "operator": "In", "values": [node.name] },
            ] }] } },
        },
    }))
}

fn a_report_comes_back(lab: &Lab) -> Result<()> {
    let network = lab.cluster.network();
    let page = wait::within(PATIENCE, "the pod of the page", || {
        let pods = lab.pods(NAMESPACE, COMPONENT)?;
        ensure!(pods.len() <= 1, "{} pods", pods.len());
        if !pods.first().is_some_and(is_ready) {
            return Ok(None);
        }
        // The pod to which the Service leads.
        let words = ["-n", NAMESPACE, "get", "endpoints", WEB];
        let subset = &lab.cluster.kubectl_json(&words)?["subsets"][0];
        let (ip, port) = (&subset["addresses"][0]["ip"], &subset["ports"][0]["port"]);
        let address = ip.as_str().map(|ip| format!("{ip}:{port}"));
        Ok(address.and_then(|address| address.parse::<SocketAddr>().ok()))
    })?;
    let shown = ask(&network, page, "GET / HTTP/1.1\r\n", b"")?;
    ensure!(shown.contains("<title>"), "no page: {shown}");
    let file = syns();
    let head =
        "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"syns.pcap\"\r\n\r\n";
    let body = [head.as_bytes(), &file, b"\r\n--x--\r\n"].concat();
    let request =
        "POST /api/v1/uploads HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\n";
    let accepted: Value = serde_json::from_str(&ask(&network, page, request, &body)?)?;
    let id = accepted["task_id"].as_str().context("no task")?;
    let request = format!("GET /api/v1/tasks/{id} HTTP/1.1\r\n");
    wait::within(PATIENCE, "the report", || {
        let task: Value = serde_json::from_str(&ask(&network, page, &request, b"")?)?;
        ensure!(task["state"] != "failed", "{task}");
        Ok((task["state"] == "done").then_some(()))
    })?;
    let request = format!("GET /api/v1/reports/{id}/report HTTP/1.1\r\n");
    let report: Value = serde_json::from_str(&ask(&network, page, &request, b"")?)?;
    ensure!(
        report["inventory"]["packets"] == PACKETS,
        "{} packets",
        report["inventory"]["packets"]
    );
    Ok(())
}

/// The body of the answer to a request, whose connection ends with it.
pub(crate) fn ask(
    network: &Namespace,
    page: SocketAddr,
    request: &str,
    body: &[u8],
) -> Result<String> {
    let mut answer = Vec::new();
    network.run(|| -> Result<()> {
        let mut stream = TcpStream::connect(page)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let length = body.len();
        write!(
            stream,
            "{request}Host: {page}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        )?;
        stream.write_all(body)?;
        stream.read_to_end(&mut answer)?;
        Ok(())
    })?;
    let answer = String::from_utf8(answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no head")?;
    ensure!(head.starts_with("HTTP/1.1 20"), "{head}: {body}");
    Ok(body.to_owned())
}

/// A pcap file of packets that nobody answers.
fn syns() -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for number in 0..PACKETS {
        let mut packet = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        packet.extend([
            0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ]);
        packet.extend([0x9c, (number % 250) as u8, 0, 80]);
        packet.extend(number.to_be_bytes());
        packet.extend([0, 0, 0, 0, 0x50, 2, 32, 0, 0, 0, 0, 0]);
        let length = packet.len() as u32;
        for word in [1_700_000_000 + number, 0, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
    }
    file
}
