//! Time series as small SVG charts: axes with units, gaps where nothing is known, the values at a moment on hover.

use windlass_kernel::Timestamp;

use crate::view::{Raw, absolute, clock, escape, length};

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 170.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 22.0;

/// What a chart's numbers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Per second.
    Rate,
    /// Seconds.
    Seconds,
    /// Cores.
    Cores,
    /// Bytes.
    Bytes,
}

/// A line of a chart.
pub(crate) struct Line<'a> {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its colour: a class.
    pub(crate) class: &'static str,
    /// Its values, one per point in time.
    pub(crate) values: &'a [Option<f64>],
}

impl Unit {
    /// A value with its unit.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Rate => format!("{} /s", number(value)),
            Self::Seconds if value < 1.0 => format!("{} ms", number(value * 1000.0)),
            Self::Seconds => format!("{} s", number(value)),
            Self::Cores => format!("{} cores", number(value)),
            Self::Bytes if value < 1e6 => format!("{} kB", number(value / 1e3)),
            Self::Bytes if value < 1e9 => format!("{} MB", number(value / 1e6)),
            Self::Bytes => format!("{} GB", number(value / 1e9)),
        }
    }

    /// The least that the axis reaches, so that a still service does not look like a storm.
    fn least(self) -> f64 {
        match self {
            Self::Rate => 1.0,
            Self::Seconds => 0.01,
            Self::Cores => 0.1,
            Self::Bytes => 16e6,
        }
    }
}

fn number(value: f64) -> String {
    let text = match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 || v == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// The last known value of a line.
pub(crate) fn last(values: &[Option<f64>]) -> Option<f64> {
    values.iter().rev().find_map(|v| *v)
}

/// Draws lines over time, from `from` on, a point each `step_seconds`.
pub(crate) fn draw(label: &str, unit: Unit, lines: &[Line<'_>], from: Timestamp, step_seconds: u32) -> Raw {
    let points = lines.iter().map(|l| l.values.len()).max().unwrap_or(0);
    let highest =
        lines.iter().flat_map(|l| l.values).flatten().copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
    let known = lines.iter().any(|l| l.values.iter().any(Option::is_some));
    let top = ceiling(highest.max(unit.least()));
    let mut svg = format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        escape(&describe(label, unit, lines))
    );
    for i in 0..=4 {
        let value = top * f64::from(i) / 4.0;
        let y = y_of(value, top);
        svg.push_str(&format!(
            "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{}\"/><text class=\"ax\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y + 3.5,
            if i % 2 == 0 { unit.show(value) } else { String::new() }
        ));
    }
    let at = |i: usize| Timestamp::from_millis(from.as_millis() + i as i64 * i64::from(step_seconds) * 1000);
    for i in 0..=3 {
        let index = points.saturating_sub(1) * i / 3;
        let anchor = ["start", "middle", "middle", "end"][i];
        svg.push_str(&format!(
            "<text class=\"ax\" x=\"{:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            x_of(index, points),
            HEIGHT - 6.0,
            clock(&at(index)).get(..5).unwrap_or_default()
        ));
    }
    for line in lines {
        svg.push_str(&format!(
            "<path class=\"line {}\" d=\"{}\"/>",
            line.class,
            path(line.values, points, top)
        ));
    }
    if known {
        hovers(&mut svg, unit, lines, points, &at);
    } else {
        svg.push_str(&format!(
            "<text class=\"none\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">Nothing measured yet</text>",
            f64::midpoint(LEFT, WIDTH - RIGHT),
            HEIGHT / 2.0
        ));
    }
    svg.push_str("</svg>");
    Raw(svg)
}

fn describe(label: &str, unit: Unit, lines: &[Line<'_>]) -> String {
    let values: Vec<String> =
        lines.iter().filter_map(|l| Some(format!("{} {}", l.name, unit.show(last(l.values)?)))).collect();
    if values.is_empty() {
        format!("{label}: nothing measured yet")
    } else {
        format!("{label}, last: {}", values.join(", "))
    }
}

/// One strip per point: on hover it shows the moment and the values.
fn hovers(svg: &mut String, unit: Unit, lines: &[Line<'_>], points: usize, at: &dyn Fn(usize) -> Timestamp) {
    let width = (WIDTH - LEFT - RIGHT) / points.max(2).saturating_sub(1) as f64;
    for i in 0..points {
        let values: Vec<String> = lines
            .iter()
            .filter_map(|l| Some(format!("{} {}", l.name, unit.show((*l.values.get(i)?)?))))
            .collect();
        if values.is_empty() {
            continue;
        }
        let x = (x_of(i, points) - width / 2.0).max(LEFT);
        svg.push_str(&format!(
            "<rect class=\"at\" x=\"{x:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{}\"><title>{}: {}</title></rect>",
            HEIGHT - TOP - BOTTOM,
            absolute(&at(i)),
            values.join(", ")
        ));
    }
}

fn path(values: &[Option<f64>], points: usize, top: f64) -> String {
    let mut out = String::new();
    let mut pen_down = false;
    for (i, value) in values.iter().enumerate() {
        let Some(value) = value.filter(|v| v.is_finite()) else {
            pen_down = false;
            continue;
        };
        let alone = !pen_down && !matches!(values.get(i + 1), Some(Some(_)));
        out.push_str(&format!(
            "{}{:.1} {:.1}",
            if pen_down { "L" } else { "M" },
            x_of(i, points),
            y_of(value, top)
        ));
        if alone {
            out.push_str("h0.1");
        }
        pen_down = true;
    }
    out
}

fn x_of(index: usize, points: usize) -> f64 {
    LEFT + (WIDTH - LEFT - RIGHT) * index as f64 / points.max(2).saturating_sub(1) as f64
}

fn y_of(value: f64, top: f64) -> f64 {
    HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value / top).clamp(0.0, 1.0)
}

/// The next of 1, 2, 4, 5, 10 … above a value: what an axis is read by.
fn ceiling(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 10.0]
        .into_iter()
        .map(|n| n * power)
        .find(|n| *n >= value * 0.999_999)
        .unwrap_or(value)
}

/// How far back a chart looks, in words.
pub(crate) fn span(minutes: u32) -> String {
    match minutes {
        60 => "1 h".into(),
        m if m % 60 == 0 => format!("{} h", m / 60),
        m if m < 60 => format!("{m} min"),
        m => length(std::time::Duration::from_secs(u64::from(m) * 60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_on_round_numbers() {
        for (value, expected) in
            [(0.9, 1.0), (1.0, 1.0), (1.1, 2.0), (3.0, 4.0), (4.2, 5.0), (73.0, 100.0), (0.013, 0.02)]
        {
            assert!((ceiling(value) - expected).abs() < 1e-9, "{value}: {}", ceiling(value));
        }
    }

    #[test]
    fn a_gap_lifts_the_pen_and_a_lone_point_is_seen() {
        let d = path(&[Some(1.0), Some(2.0), None, Some(f64::NAN), Some(3.0), None], 6, 4.0);
        assert_eq!(d.matches('M').count(), 2, "{d}");
        assert!(d.ends_with("h0.1"), "{d}");
    }

    #[test]
    fn units_are_those_that_people_read() {
        let cases = [
            (Unit::Seconds, 0.0123, "12.3 ms"),
            (Unit::Seconds, 2.5, "2.5 s"),
            (Unit::Bytes, 52e6, "52 MB"),
            (Unit::Rate, 0.0, "0 /s"),
            (Unit::Rate, 1200.0, "1200 /s"),
        ];
        for (unit, value, expected) in cases {
            assert_eq!(unit.show(value), expected);
        }
        assert!(draw("x", Unit::Rate, &[], Timestamp::default(), 15).0.contains("Nothing measured yet"));
    }
}
