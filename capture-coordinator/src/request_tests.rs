//! What resources ask for: accepted, converted, rejected.

use super::*;

fn spec(json: serde_json::Value) -> PacketCaptureConfigSpec {
    serde_json::from_value(json).unwrap()
}

fn plan(json: serde_json::Value) -> Result<Plan, Invalid> {
    Plan::new(&spec(json), FileDefaults::default())
}

#[test]
fn a_resource_of_addresses_alone_has_the_defaults_of_existing_users() {
    let plan = plan(serde_json::json!({ "targetIPs": ["10.0.0.7", "10.1.2.3/8"] })).unwrap();
    assert_eq!(plan.targets, ["10.0.0.0/8", "10.0.0.7"]);
    assert_eq!(plan.duration, Duration::from_secs(60));
    assert_eq!(plan.packets, 1000);
    let Output::Files(files) = &plan.output else {
        panic!("{:?}", plan.output)
    };
    assert_eq!(files.format, Some(Format::Pcap));
    assert_eq!(files.rotation.max_file_bytes, Some(10_000_000));
    assert_eq!(files.retention.max_files, Some(5));
    let compression = files.compression.as_ref().unwrap();
    assert_eq!(compression.codec, Codec::Gzip);
    assert_eq!(compression.when, Some(CompressWhen::Rotated));
}

#[test]
fn pods_without_a_namespace_are_of_the_default_one() {
    let plan = plan(serde_json::json!({
        "podSelector": { "pods": [{ "podName": "web" }, { "podName": "db", "namespace": "shop" }] },
        "outputFormat": "stdout",
    }))
    .unwrap();
    let selection = plan.selection.unwrap();
    let name = |namespace: &str, name: &str| (namespace.to_owned(), name.to_owned());
    assert_eq!(
        selection.names,
        [name("default", "web"), name("shop", "db")]
    );
    assert!(matches!(plan.output, Output::Stdout {}));
}

#[test]
fn a_value_that_cannot_be_used_is_named_with_its_field() {
    for (json, field) in [
        (serde_json::json!({}), "spec"),
        (
            serde_json::json!({ "targetIPs": ["x"] }),
            "spec.targetIPs[0]",
        ),
        (
            serde_json::json!({ "targetIPs": ["::1"], "targetPorts": [80, 0] }),
            "spec.targetPorts[1]",
        ),
        (
            serde_json::json!({ "targetIPs": ["::1"], "duration": 0 }),
            "spec.duration",
        ),
        (
            serde_json::json!({ "targetIPs": ["::1"], "maxPackets": -1 }),
            "spec.maxPackets",
        ),
        (serde_json::json!({ "podSelector": {} }), "spec.podSelector"),
        (
            serde_json::json!({ "podSelector": { "pods": [{ "podName": "" }] } }),
            "spec.podSelector.pods[0].podName",
        ),
        (
            serde_json::json!({ "podSelector": { "labelSelector": { "matchExpressions": [
                { "key": "a", "operator": "Near" }
            ] } } }),
            "spec.podSelector.labelSelector",
        ),
        (
            serde_json::json!({ "targetIPs": ["::1"], "rotation": { "maxFileSize": "big" } }),
            "spec.rotation.maxFileSize",
        ),
        (
            serde_json::json!({ "targetIPs": ["::1"], "retention": { "ttl": "soon" } }),
            "spec.retention.ttl",
        ),
        (
            serde_json::json!({ "targetIPs": ["::1"], "compression": { "codec": "gzip", "level": 12 } }),
            "spec.compression.level",
        ),
        (
            serde_json::json!({ "targetIPs": ["::1"], "snaplen": 0 }),
            "spec.snaplen",
        ),
    ] {
        let error = plan(json.clone()).unwrap_err();
        assert_eq!(error.field, field, "{json}: {error}");
    }
}

#[test]
fn only_what_is_captured_makes_a_run() {
    let base = serde_json::json!({ "targetIPs": ["10.0.0.7"], "filter": "tcp" });
    let digest = |json: serde_json::Value| plan(json).unwrap().run_digest();
    let mut other = base.clone();
    other["suspend"] = true.into();
    other["retention"] = serde_json::json!({ "ttl": "1h" });
    assert_eq!(
        digest(base.clone()),
        digest(other),
        "neither suspend nor ttl"
    );
    for (field, value) in [
        ("filter", serde_json::json!("udp")),
        ("duration", serde_json::json!(61)),
        ("snaplen", serde_json::json!(64)),
        ("eachPacketOnce", serde_json::json!(false)),
        ("targetPorts", serde_json::json!([80])),
    ] {
        let mut other = base.clone();
        other[field] = value;
        assert_ne!(digest(base.clone()), digest(other), "{field}");
    }
}

#[test]
fn packets_of_addresses_are_recorded_once_unless_the_resource_asks_for_every_interface() {
    let once = |json: serde_json::Value| plan(json).unwrap().records_each_packet_once();
    let pods = serde_json::json!({ "namespaces": ["shop"] });
    let address = serde_json::json!(["10.0.0.7"]);
    assert!(once(serde_json::json!({ "targetIPs": address })));
    assert!(once(
        serde_json::json!({ "targetIPs": address, "podSelector": pods })
    ));
    assert!(!once(serde_json::json!({ "podSelector": pods })));
    let named = serde_json::json!({ "targetIPs": address, "interfaces": ["eth*"] });
    assert!(!once(named.clone()));
    for asked in [true, false] {
        for mut spec in [
            serde_json::json!({ "targetIPs": address }),
            serde_json::json!({ "podSelector": pods }),
            named.clone(),
        ] {
            spec["eachPacketOnce"] = asked.into();
            assert_eq!(once(spec.clone()), asked, "{spec}");
        }
    }
}

#[test]
fn a_sink_that_nobody_configured_is_named_with_those_that_are() {
    let of = |sinks: &[&str]| plan(serde_json::json!({ "targetIPs": ["::1"], "export": sinks }));
    let known: Vec<SinkName> = ["archive", "lab"].map(|name| name.parse().unwrap()).into();
    let named = of(&["lab", "archive", "lab"]).unwrap();
    assert_eq!(named.export, ["archive", "lab"]);
    let run = named.run_digest();
    assert_eq!(run, of(&[]).unwrap().run_digest(), "no run of its own");
    named.with_known_sinks(&known, &[]).unwrap();
    let error = of(&["arhcive"]).unwrap().with_known_sinks(&known, &[]);
    assert_eq!(
        error.unwrap_err().to_string(),
        "spec.export: \"arhcive\" is not a sink of this cluster: use one of archive, lab"
    );
    let error = of(&["lab"]).unwrap().with_known_sinks(&[], &[]);
    assert!(error.unwrap_err().problem.contains("export_sinks"));
    of(&["lab"])
        .unwrap()
        .with_known_sinks(&[], &["lab"])
        .unwrap();
    assert_eq!(of(&["http://x"]).unwrap_err().field, "spec.export[0]");
    let lines = serde_json::json!({
        "targetIPs": ["::1"], "outputFormat": "stdout", "export": ["lab"],
    });
    assert_eq!(plan(lines).unwrap_err().field, "spec.export");
}
