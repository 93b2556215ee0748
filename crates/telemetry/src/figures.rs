//! Figures out of samples, as PromQL defines them: per-second rates of counters, quantiles of histograms. Pure.

use std::collections::BTreeMap;

use crate::metrics::SeriesData;

/// The points in time that figures are wanted for: from `from` to `to`, `step` apart, all in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// The first point.
    pub from: i64,
    /// The last point, at most.
    pub to: i64,
    /// Their distance.
    pub step: i64,
}

impl Grid {
    /// The points.
    pub fn points(self) -> impl Iterator<Item = i64> {
        (0..).map(move |i| self.from + i * self.step.max(1)).take_while(move |t| *t <= self.to)
    }
}

/// The per-second increase of counters over the `window` (milliseconds) before each point, all series added up. A
/// value below the one before it is a restart: it counts from zero. `None` where no series has two samples.
pub fn rate(series: &[SeriesData], grid: Grid, window: i64) -> Vec<Option<f64>> {
    grid.points()
        .map(|at| series.iter().filter_map(|s| increase(&s.points, at - window, at)).reduce(|a, b| a + b))
        .collect()
}

/// The last value of each series within the `window` before each point, added up.
pub fn sum(series: &[SeriesData], grid: Grid, window: i64) -> Vec<Option<f64>> {
    let last = |s: &SeriesData, at: i64| {
        let end = s.points.partition_point(|(t, _)| *t <= at);
        s.points[..end].last().filter(|(t, _)| *t > at - window).map(|(_, v)| *v)
    };
    grid.points().map(|at| series.iter().filter_map(|s| last(s, at)).reduce(|a, b| a + b)).collect()
}

/// The `q` quantile (0 to 1) from cumulative buckets (series with a label `le`), over the `window` before each point.
pub fn quantile(q: f64, buckets: &[SeriesData], grid: Grid, window: i64) -> Vec<Option<f64>> {
    let bound = |s: &SeriesData| match s.labels.get("le").map(String::as_str) {
        Some("+Inf") => Some(f64::INFINITY),
        Some(text) => text.parse::<f64>().ok(),
        None => None,
    };
    let bounded: Vec<(f64, &SeriesData)> = buckets.iter().filter_map(|s| Some((bound(s)?, s))).collect();
    grid.points()
        .map(|at| {
            let mut at_most: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
            for (bound, series) in &bounded {
                if let Some(rate) = increase(&series.points, at - window, at) {
                    // Positive doubles sort like their bits.
                    at_most.entry(bound.to_bits()).or_insert((*bound, 0.0)).1 += rate;
                }
            }
            of_buckets(q, &at_most.into_values().collect::<Vec<_>>())
        })
        .collect()
}

/// Linear within the bucket that the rank falls into; the last finite bound if it falls beyond.
fn of_buckets(q: f64, buckets: &[(f64, f64)]) -> Option<f64> {
    let total = buckets.last()?.1;
    if total <= 0.0 || !total.is_finite() {
        return None;
    }
    let rank = q * total;
    let (mut below, mut from) = (0.0, 0.0);
    for (bound, count) in buckets {
        if *count >= rank {
            if bound.is_infinite() {
                return Some(from);
            }
            let share = if *count > below { (rank - below) / (count - below) } else { 1.0 };
            return Some(from + (bound - from) * share);
        }
        (below, from) = (*count, *bound);
    }
    Some(from)
}

/// A counter's increase per second between the first and the last sample within `(from, to]`.
fn increase(points: &[(i64, f64)], from: i64, to: i64) -> Option<f64> {
    let start = points.partition_point(|(t, _)| *t <= from);
    let end = points.partition_point(|(t, _)| *t <= to);
    let within = &points[start..end.max(start)];
    let (first, last) = (within.first()?, within.last()?);
    if last.0 <= first.0 {
        return None;
    }
    let grown: f64 = within.windows(2).map(|w| if w[1].1 >= w[0].1 { w[1].1 - w[0].1 } else { w[1].1 }).sum();
    Some(grown * 1000.0 / (last.0 - first.0) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(le: Option<&str>, points: &[(i64, f64)]) -> SeriesData {
        let labels = le.map(|le| ("le".to_owned(), le.to_owned())).into_iter().collect();
        SeriesData { labels, points: points.to_vec() }
    }

    const ONE: Grid = Grid { from: 60_000, to: 60_000, step: 1 };

    #[test]
    fn a_rate_survives_a_restart_of_the_counter() {
        let steady = series(None, &[(0, 0.0), (30_000, 30.0), (60_000, 60.0)]);
        let restarted = series(None, &[(0, 100.0), (30_000, 10.0), (60_000, 40.0)]);
        let close = |a: Option<f64>, b: f64| (a.unwrap() - b).abs() < 1e-9;
        assert!(close(rate(std::slice::from_ref(&steady), ONE, 61_000)[0], 1.0));
        assert!(close(rate(std::slice::from_ref(&restarted), ONE, 61_000)[0], 40.0 / 60.0));
        assert!(close(rate(&[steady, restarted], ONE, 61_000)[0], 1.0 + 40.0 / 60.0));
        assert_eq!(rate(&[series(None, &[(60_000, 1.0)])], ONE, 61_000), [None]);
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let buckets = [
            series(Some("0.1"), &[(0, 0.0), (60_000, 50.0)]),
            series(Some("0.5"), &[(0, 0.0), (60_000, 90.0)]),
            series(Some("+Inf"), &[(0, 0.0), (60_000, 100.0)]),
        ];
        let at = |q| quantile(q, &buckets, ONE, 61_000)[0].unwrap();
        assert!((at(0.25) - 0.05).abs() < 1e-9);
        assert!((at(0.7) - 0.3).abs() < 1e-9);
        assert!((at(0.99) - 0.5).abs() < 1e-9, "beyond the last finite bound");
        assert_eq!(quantile(0.5, &[], ONE, 61_000), [None]);
    }
}
