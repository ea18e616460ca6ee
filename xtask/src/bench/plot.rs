//! The plot: a bar of capacity and a bar of replies under the flood for each row, as SVG.

use super::contenders::ContenderKind;
use super::metrics::{BenchRow, Metric};
use crate::number::grouped;
use std::fmt::Write as _;

const WIDTH: f64 = 900.0;
const LABELS: f64 = 330.0;
/// Space for the number after the longest bar.
const NUMBER: f64 = 90.0;
const TOP: f64 = 56.0;
const ROW: f64 = 40.0;
const BAR: f64 = 13.0;

/// Draws the rows as SVG.
pub(super) fn svg(rows: &[BenchRow], title: &str) -> String {
    let height = TOP + ROW * rows.len() as f64 + 12.0;
    let most = rows
        .iter()
        .flat_map(|row| [row.get(Metric::Capacity), row.get(Metric::Flood)])
        .flatten()
        .fold(1.0, f64::max);
    let scale = (WIDTH - LABELS - NUMBER) / most;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\">{}</text>\n\
         <text x=\"{LABELS}\" y=\"44\" fill=\"#555\">replies per second: dark at no more than 0.1 % loss, \
         light under the flood</text>\n",
        escaped(title)
    );
    for (index, row) in rows.iter().enumerate() {
        let y = TOP + ROW * index as f64;
        let (dark, light) = match row.kind {
            ContenderKind::Limit => ("#777777", "#bbbbbb"),
            ContenderKind::Ours => ("#1a6fb5", "#8fc1ea"),
            ContenderKind::Other => ("#b5651a", "#eac08f"),
        };
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LABELS - 8.0,
            y + BAR + 4.0,
            escaped(row.label)
        );
        for (place, metric, colour) in [(0.0, Metric::Capacity, dark), (1.0, Metric::Flood, light)] {
            let Some(value) = row.get(metric) else { continue };
            let (top, length) = (y + place * (BAR + 1.0), value * scale);
            let _ = writeln!(
                svg,
                "<rect x=\"{LABELS}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"11\">{}</text>",
                LABELS + length + 5.0,
                top + BAR - 2.5,
                grouped(value)
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::svg;
    use crate::bench::metrics::Metric;
    use crate::bench::sample::{numbers, row};

    #[test]
    fn bars_are_in_proportion_and_what_was_not_measured_has_none() {
        let rows = [
            row("af-xdp", &numbers(&[(Metric::Capacity, 1000.0), (Metric::Flood, 500.0)])),
            row("batch", &numbers(&[(Metric::Capacity, 250.0)])),
        ];
        let drawn = svg(&rows, "a < b & c");
        let widths: Vec<f64> = drawn
            .lines()
            .filter(|line| line.contains("fill=\"#") && line.contains("</text>") && line.starts_with("<rect"))
            .filter_map(|line| line.split("width=\"").nth(1)?.split('"').next()?.parse().ok())
            .collect();
        assert_eq!(widths, [480.0, 240.0, 120.0]);
        assert!(drawn.contains("a &lt; b &amp; c"));
        assert!(drawn.starts_with("<svg") && drawn.ends_with("</svg>\n"));
    }
}
