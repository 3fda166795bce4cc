//! One panel of a chart: a heading, bars, and an axis with its unit. Pure.

use crate::show::axis::Axis;

/// Of the whole chart.
pub(crate) const WIDTH: f64 = 760.0;
/// Where bars begin; their labels stand before it.
const LEFT: f64 = 180.0;
/// The length of the axis; the value of the longest bar stands behind it.
const LENGTH: f64 = 500.0;
const HEADING: f64 = 32.0;
const ROW: f64 = 26.0;
const BAR: f64 = 18.0;
const SCALE: f64 = 44.0;
/// Room for a value.
const TEXT: f64 = 56.0;

#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) heading: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) bars: Vec<Bar>,
}

#[derive(Debug)]
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: f64,
    pub(crate) text: String,
    /// Smallest and largest.
    pub(crate) range: Option<(f64, f64)>,
    pub(crate) goal: Option<f64>,
    pub(crate) is_ours: bool,
}

impl Panel {
    pub(crate) fn height(&self) -> f64 {
        HEADING + self.rows() + SCALE
    }

    fn rows(&self) -> f64 {
        self.bars.iter().map(|_| ROW).sum()
    }

    /// With its upper edge at `top`.
    pub(crate) fn svg(&self, top: f64) -> String {
        let axis = Axis::over(self.bars.iter().map(Bar::largest).fold(0.0, f64::max));
        let first = top + HEADING;
        let bottom = first + self.rows();
        let mut text = format!(
            "<text class=\"heading\" x=\"16\" y=\"{:.1}\">{}</text>\n",
            top + 20.0,
            escaped(self.heading)
        );
        for (value, label) in axis.ticks() {
            let x = LEFT + axis.place(value, LENGTH);
            text += &format!(
                "<path class=\"grid\" d=\"M{x:.1} {first:.1}V{bottom:.1}\"/>\
                 <text class=\"small\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>\n",
                bottom + 14.0
            );
        }
        text += &format!(
            "<text class=\"small\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
            LEFT + LENGTH / 2.0,
            bottom + 30.0,
            escaped(self.unit)
        );
        let mut middle = first + ROW / 2.0;
        for bar in &self.bars {
            text += &bar.svg(&axis, middle);
            middle += ROW;
        }
        text
    }
}

impl Bar {
    fn largest(&self) -> f64 {
        let (_, most) = self.range.unwrap_or_default();
        self.value.max(most).max(self.goal.unwrap_or_default())
    }

    fn svg(&self, axis: &Axis, middle: f64) -> String {
        let x = |value| LEFT + axis.place(value, LENGTH);
        let class = if self.is_ours { "ours" } else { "peer" };
        let weight = if self.is_ours { " class=\"heading\"" } else { "" };
        let (upper, baseline) = (middle - BAR / 2.0, middle + 4.5);
        let mut text = format!(
            "<text{weight} x=\"{:.1}\" y=\"{baseline:.1}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{class}\" x=\"{LEFT:.1}\" y=\"{upper:.1}\" width=\"{:.1}\" height=\"{BAR:.1}\"/>",
            LEFT - 8.0,
            escaped(&self.label),
            x(self.value) - LEFT,
        );
        if let Some((least, most)) = self.range {
            text += &format!(
                "<path class=\"range\" d=\"M{:.1} {middle:.1}H{:.1}\"/>",
                x(least),
                x(most)
            );
        }
        if let Some(goal) = self.goal {
            let line = format!("M{:.1} {:.1}V{:.1}", x(goal), middle - ROW / 2.0, middle + ROW / 2.0);
            text += &format!("<path class=\"halo\" d=\"{line}\"/><path class=\"goal\" d=\"{line}\"/>");
        }
        text += &format!(
            "<text{weight} x=\"{:.1}\" y=\"{baseline:.1}\">{}</text>\n",
            self.text_place(x) + 6.0,
            escaped(&self.text)
        );
        text
    }

    /// Behind the bar and its range; behind the goal only where the text would run into it.
    fn text_place(&self, x: impl Fn(f64) -> f64) -> f64 {
        let end = x(self.value.max(self.range.unwrap_or_default().1));
        match self.goal.map(x) {
            Some(goal) if (end..end + TEXT).contains(&goal) => goal,
            _ => end,
        }
    }
}

/// As text of an SVG.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(value: f64, goal: Option<f64>) -> Bar {
        Bar {
            label: "a & b".into(),
            value,
            text: "text".into(),
            range: Some((value / 2.0, value * 1.5)),
            goal,
            is_ours: goal.is_some(),
        }
    }

    #[test]
    fn bars_are_drawn_to_scale() {
        let panel = Panel {
            heading: "Wall time",
            unit: "seconds",
            bars: vec![bar(1.0, Some(6.0)), bar(2.0, None)],
        };
        let text = panel.svg(0.0);
        // The axis ends at 6.
        assert!(text.contains(&format!("width=\"{:.1}\"", LENGTH / 6.0)), "{text}");
        assert!(text.contains(&format!("width=\"{:.1}\"", LENGTH / 3.0)), "{text}");
        assert!(
            text.contains(&format!("class=\"goal\" d=\"M{:.1} ", LEFT + LENGTH)),
            "{text}"
        );
        assert!(
            text.contains(">a &amp; b</text>") && text.contains(">seconds</text>"),
            "{text}"
        );
    }

    #[test]
    fn values_stand_clear_of_goals() {
        let place = |goal| {
            let bar = Bar {
                range: None,
                ..bar(100.0, goal)
            };
            bar.text_place(|value| value)
        };
        let places = [None, Some(50.0), Some(99.0), Some(100.0), Some(155.0), Some(156.0)].map(place);
        assert_eq!(places, [100.0, 100.0, 100.0, 100.0, 155.0, 100.0]);
    }

    #[test]
    fn a_panel_is_as_high_as_its_bars_need() {
        let height = |count: usize| {
            Panel {
                heading: "",
                unit: "",
                bars: (0..count).map(|_| bar(1.0, None)).collect(),
            }
            .height()
        };
        assert!((height(3) - height(1) - 2.0 * ROW).abs() < 1e-9);
    }
}
