//! Plots over time as SVG: labelled axes with units, and what the recorder lost laid over.

use std::fmt::Write as _;

use super::units::{bytes, duration};
use crate::report::{FlowRates, LossSpan, Rates};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 92.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 40.0;

/// Bytes of a flow over time, small, without axes: its title says how long and how much.
pub(super) fn sparkline(rates: &FlowRates) -> String {
    const WIDTH: f64 = 96.0;
    const HEIGHT: f64 = 20.0;
    let both = rates.client_bytes.iter().zip(&rates.server_bytes);
    let values: Vec<u64> = both.map(|(client, server)| client + server).collect();
    let most = values.iter().copied().max().unwrap_or(0).max(1) as f64;
    let step = WIDTH / values.len().max(1) as f64;
    let mut svg = format!(
        "<svg class=\"spark\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\"><title>{}, at most {} in {}</title>\
         <path class=\"a\" d=\"M0 {HEIGHT}",
        duration(rates.bucket_ns.saturating_mul(values.len() as u64)),
        bytes(most as u64),
        duration(rates.bucket_ns)
    );
    for (at, value) in values.iter().enumerate() {
        let height = HEIGHT * (1.0 - *value as f64 / most);
        _ = write!(
            svg,
            "L{:.1} {height:.1}H{:.1}",
            at as f64 * step,
            (at + 1) as f64 * step
        );
    }
    _ = write!(svg, "V{HEIGHT}Z\"/></svg>");
    svg
}

/// A line of a plot.
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    pub(super) class: &'a str,
    /// A value for each bucket.
    pub(super) values: Vec<f64>,
}

/// How values are worded.
pub(super) struct Unit {
    /// A value with its unit.
    pub(super) words: fn(f64) -> String,
    /// No step of the axis is smaller.
    pub(super) least: f64,
}

/// A plot of lines over the buckets of `rates`; `unit` words their values.
pub(super) fn plot(
    title: &str,
    rates: &Rates,
    lines: &[Line<'_>],
    losses: &[LossSpan],
    unit: &Unit,
) -> String {
    let buckets = rates.packets.len().max(1);
    let most = lines
        .iter()
        .flat_map(|line| line.values.iter().copied())
        .fold(0.0, f64::max);
    // Four steps, each of a round height.
    let top = nice(most / 4.0).max(unit.least) * 4.0;
    let (inner_width, inner_height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
    let x = |bucket: f64| LEFT + bucket / buckets as f64 * inner_width;
    let y = |value: f64| TOP + inner_height * (1.0 - value / top);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\
         <text class=\"title\" x=\"{LEFT}\" y=\"16\">{title}</text>"
    );
    losses_over(&mut svg, rates, losses, inner_height, &x);
    for step in 0..=4 {
        let value = top * f64::from(step) / 4.0;
        _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{1:.1}\" y2=\"{1:.1}\"/>\
             <text x=\"{2:.1}\" y=\"{3:.1}\" text-anchor=\"end\">{4}</text>",
            WIDTH - RIGHT,
            y(value),
            LEFT - 6.0,
            y(value) + 4.0,
            (unit.words)(value)
        );
    }
    let seconds = rates.bucket_ns as f64 * buckets as f64 / 1e9;
    let (scale, time_unit) = match seconds {
        ..1.0 => (1e3, "ms"),
        ..300.0 => (1.0, "s"),
        ..18_000.0 => (1.0 / 60.0, "min"),
        ..432_000.0 => (1.0 / 3_600.0, "h"),
        _ => (1.0 / 86_400.0, "d"),
    };
    let whole = seconds * scale;
    let between = nice(whole / 6.0);
    for tick in 0..=6 {
        let time = between * f64::from(tick);
        if time > whole {
            break;
        }
        let at = LEFT + time / whole * inner_width;
        _ = write!(
            svg,
            "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"{}\">{}</text>",
            HEIGHT - BOTTOM + 16.0,
            if at > WIDTH - RIGHT - 24.0 {
                "end"
            } else {
                "middle"
            },
            short(time)
        );
    }
    _ = write!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">time since the first packet, {time_unit}</text>",
        LEFT + inner_width / 2.0,
        HEIGHT - 6.0
    );
    let mut legend = WIDTH - RIGHT;
    for line in lines.iter().rev() {
        steps(&mut svg, line, &x, &y);
        _ = write!(
            svg,
            "<text class=\"{}\" x=\"{legend:.1}\" y=\"16\" text-anchor=\"end\">{}</text>",
            line.class, line.name
        );
        legend -= line.name.len() as f64 * 7.0 + 16.0;
    }
    svg.push_str("</svg>");
    svg
}

fn losses_over(
    svg: &mut String,
    rates: &Rates,
    losses: &[LossSpan],
    inner_height: f64,
    x: &impl Fn(f64) -> f64,
) {
    let bucket =
        |time: u64| time.saturating_sub(rates.start_ns) as f64 / rates.bucket_ns.max(1) as f64;
    let end = rates.packets.len() as f64;
    for loss in losses.iter().take(500) {
        let (from, to) = (
            x(bucket(loss.from_ns).min(end)),
            x(bucket(loss.to_ns).min(end)),
        );
        _ = write!(
            svg,
            "<rect class=\"loss\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{inner_height}\">\
             <title>the recorder lost {} packets here</title></rect>",
            (to - from).max(2.0),
            loss.lost
        );
    }
}

fn steps(svg: &mut String, line: &Line<'_>, x: &impl Fn(f64) -> f64, y: &impl Fn(f64) -> f64) {
    _ = write!(
        svg,
        "<path class=\"{}\" d=\"M{:.1} {:.1}",
        line.class,
        x(0.0),
        y(0.0)
    );
    for (bucket, value) in line.values.iter().enumerate() {
        let (from, to, height) = (x(bucket as f64), x(bucket as f64 + 1.0), y(*value));
        _ = write!(svg, "L{from:.1} {height:.1}H{to:.1}");
    }
    _ = write!(svg, "V{:.1}Z\"/>", y(0.0));
}

fn short(value: f64) -> String {
    // Steps are 1, 2 or 5 times a power of ten.
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

/// The next of 1, 2, 5 times a power of ten.
fn nice(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(most.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|step| *step >= most)
        .unwrap_or(most)
}
