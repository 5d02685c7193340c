use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, Response, StatusCode, header},
};
use sha2::{Digest as _, Sha256};
use tower::Service as _;

use super::{files::FILES, router};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("page")
}

async fn ask(path: &str, known: Option<&str>) -> Response<Body> {
    let mut request = Request::get(path);
    if let Some(tag) = known {
        request = request.header(header::IF_NONE_MATCH, tag);
    }
    let mut router: Router = router();
    router
        .call(request.body(Body::empty()).unwrap())
        .await
        .unwrap()
}

/// The page's own modules, with their text.
fn modules() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES
        .iter()
        .filter(|(path, _)| path.ends_with(".js") && !path.starts_with("vendor/"))
        .map(|(path, content)| (*path, std::str::from_utf8(content).unwrap()))
}

#[test]
fn every_file_of_the_page_is_in_the_program_and_no_other() {
    let mut there = BTreeSet::new();
    let mut directories = vec![directory()];
    while let Some(path) = directories.pop() {
        for entry in std::fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let relative = path.strip_prefix(directory()).unwrap();
                there.insert(relative.to_str().unwrap().to_owned());
            }
        }
    }
    let served: BTreeSet<_> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(served, there);
}

#[tokio::test]
async fn a_browser_that_has_a_file_is_not_sent_it_again() {
    for path in ["/", "/assets/app.js", "/assets/vendor/uPlot.min.js"] {
        let first = ask(path, None).await;
        assert_eq!(first.status(), StatusCode::OK, "{path}");
        assert_eq!(first.headers()[header::CACHE_CONTROL], "no-cache");
        let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        assert!(
            !to_bytes(first.into_body(), 1 << 20)
                .await
                .unwrap()
                .is_empty()
        );
        for known in [tag.clone(), format!("W/{tag}"), format!("\"old\", {tag}")] {
            let second = ask(path, Some(&known)).await;
            assert_eq!(second.status(), StatusCode::NOT_MODIFIED, "{path} {known}");
            assert!(to_bytes(second.into_body(), 1).await.unwrap().is_empty());
        }
        assert_eq!(ask(path, Some("\"old\"")).await.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn each_file_has_the_type_that_a_strict_browser_asks_for() {
    for (path, expected) in [
        ("/", "text/html; charset=utf-8"),
        ("/assets/app.css", "text/css; charset=utf-8"),
        ("/assets/parts/dom.js", "text/javascript; charset=utf-8"),
        ("/assets/icon.svg", "image/svg+xml"),
    ] {
        assert_eq!(
            ask(path, None).await.headers()[header::CONTENT_TYPE],
            expected
        );
    }
}

#[tokio::test]
async fn a_path_that_is_no_file_of_the_page_is_not_found() {
    for path in [
        "/assets/none.js",
        "/assets/../src/lib.rs",
        "/assets/%2e%2e/Cargo.toml",
        "/assets//etc/passwd",
    ] {
        assert_eq!(
            ask(path, None).await.status(),
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

/// The digests of the files of the npm package uplot 1.6.32.
#[test]
fn uplot_is_the_published_one() {
    for (path, published) in [
        (
            "vendor/uPlot.min.js",
            "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
        ),
        (
            "vendor/uPlot.min.css",
            "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
        ),
    ] {
        let content = std::fs::read(directory().join(path)).unwrap();
        let digest: String = Sha256::digest(&content)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(digest, published, "{path}");
    }
    let licence = std::fs::read_to_string(directory().join("vendor/uPlot.LICENSE")).unwrap();
    assert!(licence.contains("The MIT License"));
}

#[test]
fn no_text_from_outside_can_become_markup_or_code() {
    let forbidden = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "DOMParser",
        "createContextualFragment",
        "setHTML",
        "eval(",
        "new Function",
        "javascript:",
    ];
    assert!(modules().count() > 20);
    for (path, text) in modules() {
        for word in forbidden {
            assert!(!text.contains(word), "{path} uses {word}");
        }
    }
}

#[test]
fn the_page_refers_to_nothing_outside_and_has_no_inline_code_or_style() {
    let index = std::fs::read_to_string(directory().join("index.html")).unwrap();
    for word in ["//", "style=", "<style", " on", "data:"] {
        assert!(!index.contains(word), "index.html contains {word:?}");
    }
    let scripts = index.matches("<script").count();
    assert_eq!(
        scripts,
        index.matches("></script>").count(),
        "a script within the page"
    );
    for (path, text) in modules() {
        let outside = text.contains("http:") || text.contains("https:");
        assert!(!outside, "{path} names an address outside");
    }
}

#[test]
fn each_module_is_short_enough_to_hold_one_idea() {
    for (path, text) in modules() {
        let lines = text.lines().count();
        assert!(lines <= 400, "{path} has {lines} lines");
    }
}
