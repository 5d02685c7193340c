//! The page: self-contained, and nothing in it overlaps.

use capture_analysis::{render, report::Report};

use crate::support::{ACK, Frames, PSH, SYN, analysed};

fn page(report: &Report) -> String {
    let mut page = String::new();
    render::html(report, 100, &mut page).expect("a page");
    page
}

fn busy() -> Report {
    let mut frames = Frames::new()
        .client(SYN, 0, 0, b"")
        .server(SYN | ACK, 0, 1, b"")
        .client(ACK, 1, 1, b"");
    for number in 0..50 {
        frames = frames
            .client(PSH | ACK, 1 + number * 100, 1, &[1; 100])
            .client(PSH | ACK, 1 + number * 100, 1, &[1; 100])
            .question(
                number as u16,
                "<img src=http://evil.example/x onerror=alert(1)>",
            );
    }
    analysed(&frames.pcap())
}

#[test]
fn a_page_asks_nobody_for_anything_and_runs_nothing() {
    let page = page(&busy());
    let lower = page.to_lowercase();
    for foreign in [
        "<script",
        "<link",
        "<iframe",
        "<object",
        "<img",
        "<base",
        "@import",
        "url(",
        " src=",
        " href=",
        "javascript:",
    ] {
        assert!(!lower.contains(foreign), "{foreign}");
    }
    assert!(
        page.contains("default-src 'none'"),
        "a browser is told to load nothing"
    );
    assert!(
        page.contains("&lt;img"),
        "what the packets say is shown as text"
    );
}

#[test]
fn tags_close_in_the_order_in_which_they_opened() {
    let page = page(&busy());
    let mut open: Vec<&str> = Vec::new();
    for tag in page.split('<').skip(1) {
        let inside = tag.split('>').next().expect("a tag");
        let name = inside
            .trim_start_matches('/')
            .split([' ', '/'])
            .next()
            .expect("a name");
        let alone = inside.ends_with('/') || ["!DOCTYPE", "meta"].contains(&name);
        if inside.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !alone {
            open.push(name);
        }
    }
    assert_eq!(open, [""; 0]);
}

/// The position of a text of a plot: left, right and its line.
fn texts(svg: &str) -> Vec<(f64, f64, f64, String)> {
    let attribute = |tag: &str, name: &str| -> Option<String> {
        let behind = tag.split(&format!(" {name}=\"")).nth(1)?;
        Some(behind.split('"').next()?.to_owned())
    };
    svg.split("<text")
        .skip(1)
        .map(|tag| {
            let number = |name| {
                attribute(tag, name)
                    .expect("a place")
                    .parse::<f64>()
                    .expect("a number")
            };
            let text = tag
                .split('>')
                .nth(1)
                .expect("a text")
                .split('<')
                .next()
                .expect("its end");
            // 11 pixels high; a character is at most 7 wide.
            let width = text.chars().count() as f64 * 7.0;
            let x = number("x");
            let left = match attribute(tag, "text-anchor").as_deref() {
                Some("end") => x - width,
                Some("middle") => x - width / 2.0,
                _ => x,
            };
            (left, left + width, number("y"), text.to_owned())
        })
        .collect()
}

#[test]
fn texts_of_plots_have_units_and_do_not_overlap() {
    let page = page(&busy());
    let plots: Vec<&str> = page
        .split("<svg viewBox")
        .skip(1)
        .map(|svg| svg.split("</svg>").next().expect("its end"))
        .collect();
    assert_eq!(plots.len(), 3);
    for plot in plots {
        let texts = texts(plot);
        assert!(
            texts
                .iter()
                .any(|(.., text)| text.contains("time since the first packet, "))
        );
        for (number, (left, right, y, text)) in texts.iter().enumerate() {
            assert!(*left >= 0.0 && *right <= 875.0, "{text} leaves the plot");
            for (other_left, other_right, other_y, other) in &texts[number + 1..] {
                let apart =
                    (y - other_y).abs() >= 11.0 || right <= other_left || other_right <= left;
                assert!(apart, "{text:?} lies over {other:?}");
            }
        }
    }
}

#[test]
fn an_empty_capture_is_a_page_too() {
    let page = page(&analysed(&Frames::new().pcap()));
    assert!(page.contains("Nothing conspicuous"));
    assert!(!page.contains("NaN") && !page.contains("inf"));
}
