//! Curves as inline SVG.
//!
//! plotters writes fixed colours. Axes and grid get placeholder colours that are used nowhere else; the page's style sheet
//! replaces them by those of the light or the dark theme.

use plotters::prelude::*;

use crate::error::{Error, Result};

/// Placeholder for the colour of axis labels in the SVG; `style.css` replaces it.
const AXIS: RGBColor = RGBColor(1, 1, 1);
/// Placeholder for the colour of the grid in the SVG; `style.css` replaces it.
const GRID: RGBColor = RGBColor(2, 2, 2);
/// Weight of the previous value in the running mean, which is plotted as a bold line.
const SMOOTHING: f64 = 0.8;

/// One chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// Width and height of the SVG's view box.
    pub size: (u32, u32),
    /// Range of the values; fitted to them if `None`.
    pub y_range: Option<(f64, f64)>,
    /// Whether values are fractions, labelled in percent.
    pub is_share: bool,
    /// The curves.
    pub series: Vec<Series>,
}

/// One curve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Its name, for the legend.
    pub name: String,
    /// Its colour, sRGB.
    pub colour: (u8, u8, u8),
    /// Step and value; values that are not finite are left out.
    pub points: Vec<(f64, f64)>,
    /// Whether the values are exact; they are plotted without a running mean.
    pub is_exact: bool,
    /// Step, and an interval around the value.
    pub band: Vec<(f64, (f64, f64))>,
}

impl Series {
    /// The last value of the bold line.
    pub fn last(&self) -> Option<f64> {
        self.bold().last().map(|point| point.1)
    }

    fn bold(&self) -> Vec<(f64, f64)> {
        if self.is_exact { finite(&self.points).collect() } else { smoothed(&self.points) }
    }
}

impl Chart {
    /// The chart as an `<svg>` element: each curve once as measured, thin, and once as a running mean, bold.
    ///
    /// # Errors
    /// If plotters fails.
    pub fn to_svg(&self) -> Result<String> {
        let mut svg = String::new();
        self.plot(&mut svg).map_err(|err| Error::Chart(err.to_string()))?;
        Ok(svg)
    }

    fn plot(&self, svg: &mut String) -> std::result::Result<(), Box<dyn std::error::Error>> {
        let (x_range, y_range) = self.ranges();
        let area = SVGBackend::with_string(svg, self.size).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin_top(12)
            .margin_right(18)
            .x_label_area_size(28)
            .y_label_area_size(52)
            .build_cartesian_2d(x_range.0..x_range.1, y_range.0..y_range.1)?;
        let is_share = self.is_share;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .label_style(("sans-serif", 13.5).into_font().color(&AXIS))
            .x_labels(6)
            .y_labels(5)
            .x_label_formatter(&|steps| short_count(*steps))
            .y_label_formatter(&|value| if is_share { percent(*value) } else { short_value(*value) })
            .draw()?;
        for series in &self.series {
            let colour = RGBColor(series.colour.0, series.colour.1, series.colour.2);
            let upper = series.band.iter().map(|(x, (_, high))| (*x, *high));
            let lower = series.band.iter().rev().map(|(x, (low, _))| (*x, *low));
            let band: Vec<_> = upper.chain(lower).collect();
            if !band.is_empty() {
                chart.draw_series([Polygon::new(band, colour.mix(0.14))])?;
            }
            let measured: Vec<_> = finite(&series.points).collect();
            chart.draw_series(LineSeries::new(measured, colour.mix(0.28).stroke_width(1)))?;
            chart.draw_series(LineSeries::new(series.bold(), colour.stroke_width(2)))?;
        }
        drop(chart);
        area.present()?;
        Ok(())
    }

    fn ranges(&self) -> ((f64, f64), (f64, f64)) {
        let points = || self.series.iter().flat_map(|series| finite(&series.points));
        let x = spread(points().map(|point| point.0));
        let y = self.y_range.unwrap_or_else(|| {
            let (low, high) = spread(points().map(|point| point.1));
            let margin = (high - low) * 0.06;
            (low - margin, high + margin)
        });
        (x, y)
    }
}

fn finite(points: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> {
    points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite())
}

/// Exponential running mean, corrected for its start.
fn smoothed(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let (mut mean, mut weight) = (0.0, 0.0);
    finite(points)
        .map(|(x, y)| {
            mean = SMOOTHING * mean + (1.0 - SMOOTHING) * y;
            weight = SMOOTHING * weight + (1.0 - SMOOTHING);
            (x, mean / weight)
        })
        .collect()
}

/// Least and greatest value; never equal, always finite.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    match high - low {
        width if width > 0.0 && width.is_finite() => (low, high),
        _ if low.is_finite() => (low - 0.5, low + 0.5),
        _ => (0.0, 1.0),
    }
}

/// `1500000` as `1.5M`, `20000` as `20k`.
pub(super) fn short_count(count: f64) -> String {
    let trimmed = |value: f64| {
        let text = format!("{value:.1}");
        text.strip_suffix(".0").unwrap_or(&text).to_owned()
    };
    match count.abs() {
        c if c >= 1e6 => format!("{}M", trimmed(count / 1e6)),
        c if c >= 1e3 => format!("{}k", trimmed(count / 1e3)),
        _ => trimmed(count),
    }
}

/// A fraction as whole percent.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

/// Three significant digits.
pub(super) fn short_value(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        v if v >= 1000.0 => short_count(value),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 => format!("{value:.2}"),
        v if v >= 0.001 => format!("{value:.4}"),
        _ => format!("{value:.1e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_without_points_or_with_one_is_plotted() {
        for points in [vec![], vec![(0.0, 3.0)], vec![(0.0, f64::NAN), (1.0, 2.0), (2.0, f64::INFINITY)]] {
            let series = vec![Series { points, ..Series::default() }];
            let chart = Chart { size: (400, 200), series, ..Chart::default() };
            assert!(chart.to_svg().expect("plots").starts_with("<svg"));
        }
    }

    #[test]
    fn counts_and_values_are_short() {
        assert_eq!([0.0, 1500.0, 2e6].map(short_count), ["0", "1.5k", "2M"]);
        assert_eq!(
            [0.0, 0.001234, 0.5, 42.0, 12345.0].map(short_value),
            ["0", "0.0012", "0.50", "42.0", "12.3k"]
        );
    }

    #[test]
    fn the_running_mean_starts_at_the_first_value() {
        assert_eq!(smoothed(&[(0.0, 4.0), (1.0, f64::NAN), (2.0, 4.0)]), [(0.0, 4.0), (2.0, 4.0)]);
    }
}
