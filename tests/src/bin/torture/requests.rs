//! Requests that are large, wrong or contain text to be shown.

use anyhow::{Context as _, Result, ensure};
use capture_proto::v1;
use capture_tests::{client::Capturectl, daemon::spec};
use tonic::Code;

use crate::{
    Attack,
    scene::{MEBIBYTE, STEADY, Scene, memory_within, refusal},
};

pub(crate) const ATTACKS: [Attack; 6] = [
    Attack {
        name: "wrong-fields",
        done: "StartCapture with 5,000 targets that are no addresses, each of 200 bytes",
        quick: true,
        run: wrong_fields,
    },
    Attack {
        name: "large-lists",
        done: "ListCaptures and WatchCaptures of two captures with 65,536 targets each, by a client that takes 4 MiB",
        quick: true,
        run: large_lists,
    },
    Attack {
        name: "mask-of-one-field",
        done: "UpdateCapture of the filter of a capture that has an inner filter, and the reverse",
        quick: true,
        run: mask_of_one_field,
    },
    Attack {
        name: "control-characters",
        done: "labels and reasons with escape sequences, shown by capturectl",
        quick: true,
        run: control_characters,
    },
    Attack {
        name: "log-flood",
        done: "3,000 refused requests, with reasons and names of up to 1 MiB",
        quick: true,
        run: log_flood,
    },
    Attack {
        name: "other-request-same-id",
        done: "StartCapture twice with one request_id and different specs",
        quick: true,
        run: other_request_same_id,
    },
];

fn start(name: &str, spec: v1::CaptureSpec) -> v1::StartCaptureRequest {
    v1::StartCaptureRequest {
        name: name.to_owned(),
        spec: Some(spec),
        ..Default::default()
    }
}

fn wrong_fields() -> Result<String> {
    let scene = Scene::new(&[])?;
    let mut wrong = spec("eth0", "");
    wrong.targets = (0..5_000)
        .map(|number| format!("{number}{}", "x".repeat(200)))
        .collect();
    let mut captures = scene.client.captures.clone();
    let answer = scene
        .client
        .wait(captures.start_capture(start("wrong", wrong)));
    let status = refusal(answer, &[Code::InvalidArgument])?;
    let bytes = status.message().len() + status.details().len();
    ensure!(bytes < 16 << 10, "the refusal has {bytes} bytes");
    Ok(format!(
        "InvalidArgument in {bytes} bytes, {}",
        scene.end()?
    ))
}

fn large_lists() -> Result<String> {
    let scene = Scene::new(&[])?;
    for name in ["one", "two"] {
        let mut large = spec("eth0", "");
        // The longest possible addresses.
        let address = |number: u32| {
            format!(
                "2001:db8:aaaa:bbbb:cccc:dddd:{:x}:{:x}/128",
                number >> 8,
                number & 255 | 0x1000
            )
        };
        large.targets = (0..65_536).map(address).collect();
        let mut captures = scene
            .client
            .captures
            .clone()
            .max_encoding_message_size(16 << 20);
        let answer = scene
            .client
            .wait(captures.start_capture(start(name, large)));
        // A request of more than 4 MiB may be rejected, but not half applied.
        if let Err(status) = answer {
            ensure!(status.code() == Code::ResourceExhausted, "{status}");
        }
    }
    let mut captures = scene.client.captures.clone();
    let (mut listed, mut page_token) = (0, String::new());
    loop {
        let request = v1::ListCapturesRequest {
            page_token,
            ..Default::default()
        };
        let page = scene.client.wait(captures.list_captures(request));
        let page = page.context("ListCaptures")?.into_inner();
        listed += page.captures.len();
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let count = scene.client.wait(async {
        let request = v1::WatchCapturesRequest::default();
        let mut events = captures.watch_captures(request).await?.into_inner();
        let mut count = 0;
        while let Some(event) = events.message().await? {
            if event.r#type() == v1::EventType::Synced {
                break;
            }
            count += 1;
        }
        anyhow::Ok(count)
    });
    let count: usize = count.context("WatchCaptures")?;
    ensure!(listed == count, "{listed} listed, {count} watched");
    for name in ["one", "two"] {
        // It does not exist if it was rejected.
        let _ = scene.client.delete(name);
    }
    Ok(format!(
        "{listed} captures listed and watched, {}",
        scene.end()?
    ))
}

fn update(name: &str, spec: v1::CaptureSpec, path: &str) -> v1::UpdateCaptureRequest {
    v1::UpdateCaptureRequest {
        name: name.to_owned(),
        spec: Some(spec),
        update_mask: Some(prost_types::FieldMask {
            paths: vec![path.to_owned()],
        }),
        ..Default::default()
    }
}

fn mask_of_one_field() -> Result<String> {
    let scene = Scene::new(&[])?;
    let inner = |expression: &str| {
        Some(v1::InnerFilter {
            expression: expression.to_owned(),
            ..Default::default()
        })
    };
    let mut both = spec("eth0", "udp");
    both.inner_filter = inner("tcp port 80");
    scene.client.start("both", both)?;
    let mut captures = scene.client.captures.clone();
    let outer = update("both", spec("eth0", "udp port 4789"), "filter");
    scene
        .client
        .wait(captures.update_capture(outer))
        .context("filter")?;
    let spec_of = |what: &str| -> Result<v1::CaptureSpec> {
        scene
            .client
            .get("both")?
            .spec
            .with_context(|| what.to_owned())
    };
    let kept = spec_of("after filter")?
        .inner_filter
        .map(|inner| inner.expression);
    ensure!(
        kept.as_deref() == Some("tcp port 80"),
        "inner_filter became {kept:?}"
    );
    let mut other = spec("eth0", "");
    other.inner_filter = inner("tcp port 81");
    let answer = scene
        .client
        .wait(captures.update_capture(update("both", other, "inner_filter")));
    let kept = spec_of("after inner_filter")?;
    ensure!(
        kept.filter == "udp port 4789",
        "filter became {:?}",
        kept.filter
    );
    let said = match answer {
        Ok(_) => "both masks change what they name".to_owned(),
        Err(status) => refusal(
            Err::<tonic::Response<()>, _>(status),
            &[Code::InvalidArgument],
        )
        .map(|_| "mask inner_filter is refused".to_owned())?,
    };
    Ok(format!("{said}, {}", scene.end()?))
}

fn control_characters() -> Result<String> {
    let scene = Scene::new(&[])?;
    let evil = "\u{1b}]0;title\u{7}\u{1b}[31mred\r\n\u{202e}";
    let mut request = start("shown", spec("eth0", ""));
    request.labels.insert("note".to_owned(), evil.to_owned());
    request.reason = evil.to_owned();
    let answer = scene
        .client
        .wait(scene.client.captures.clone().start_capture(request));
    let accepted = answer.is_ok();
    scene.pair.b.ip("link set eth0 alias \u{1b}[31mred")?;
    let ctl = Capturectl::at(&scene.pair.b, &scene.daemon.socket())?;
    for arguments in [
        &["list"][..],
        &["get", STEADY],
        &["get", "shown"],
        &["interfaces"],
        &["files", "shown"],
    ] {
        let ended = ctl.run(arguments)?;
        let text = format!("{}{}", ended.stdout, ended.stderr);
        let raw = text.chars().find(|c| c.is_control() && *c != '\n');
        ensure!(raw.is_none(), "{arguments:?} shows {raw:?}");
    }
    // ip's own JSON does not escape it.
    scene.pair.b.ip("link set eth0 alias plain")?;
    let said = if accepted { "escaped" } else { "refused" };
    Ok(format!("{said}, {}", scene.end()?))
}

fn log_flood() -> Result<String> {
    let mut scene = Scene::new(&[])?;
    let (before, probe) = (scene.daemon.memory()?, scene.probe()?);
    let large = "x".repeat(1 << 20);
    let mut captures = scene.client.captures.clone();
    for number in 0..3_000 {
        let (name, reason) = match number % 100 {
            0 => (large.clone(), large.clone()),
            _ => (format!("none-{number}"), "y".repeat(1024)),
        };
        let request = v1::DeleteCaptureRequest {
            name,
            reason,
            ..Default::default()
        };
        let codes = [
            Code::NotFound,
            Code::InvalidArgument,
            Code::ResourceExhausted,
        ];
        refusal(scene.client.wait(captures.delete_capture(request)), &codes)?;
    }
    let bytes = scene.daemon.process().stderr().len() as u64;
    ensure!(bytes < MEBIBYTE, "the log grew to {} KiB", bytes >> 10);
    let memory = memory_within(&scene.daemon, before, 64 * MEBIBYTE)?;
    Ok(format!(
        "{} KiB of log, {memory}, {}, {}",
        bytes >> 10,
        probe.end()?,
        scene.end()?
    ))
}

fn other_request_same_id() -> Result<String> {
    let scene = Scene::new(&[])?;
    let mut captures = scene.client.captures.clone();
    let mut request = start("", spec("eth0", "udp"));
    request.request_id = "one".to_owned();
    scene.client.wait(captures.start_capture(request.clone()))?;
    request.spec = Some(spec("eth0", "tcp"));
    let answer = scene.client.wait(captures.start_capture(request));
    let codes = [
        Code::AlreadyExists,
        Code::InvalidArgument,
        Code::FailedPrecondition,
    ];
    let code = refusal(answer, &codes)?.code();
    Ok(format!("{code:?}, {}", scene.end()?))
}
