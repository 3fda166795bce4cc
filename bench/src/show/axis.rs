//! A linear axis from zero with round ticks. Pure.

/// From zero to at least the largest value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis {
    step: f64,
    steps: u32,
    decimals: usize,
}

const MOST_STEPS: f64 = 6.0;

impl Axis {
    /// Steps are 1, 2 or 5 times a power of ten, so that there are three to six.
    pub(crate) fn over(largest: f64) -> Self {
        let largest = if largest.is_finite() && largest > 0.0 {
            largest
        } else {
            1.0
        };
        let exponent = (largest / MOST_STEPS).log10().floor();
        let power = 10_f64.powf(exponent);
        // A hair above six steps is six: a largest value that is a tick itself ends the axis.
        let fits = |factor: &f64| largest / (factor * power) <= MOST_STEPS * (1.0 + 1e-9);
        let factor = [1.0, 2.0, 5.0].into_iter().find(fits).unwrap_or(10.0);
        let step = factor * power;
        let exponent = if factor == 10.0 { exponent + 1.0 } else { exponent };
        let (steps, decimals) = ((largest / step - 1e-9).ceil() as u32, (-exponent).max(0.0) as usize);
        Self { step, steps, decimals }
    }

    /// Where the axis ends.
    pub(crate) fn top(&self) -> f64 {
        self.step * f64::from(self.steps)
    }

    /// The place of `value` on an axis of this `width`; the same unit as the width.
    pub(crate) fn place(&self, value: f64, width: f64) -> f64 {
        value / self.top() * width
    }

    /// Values with their labels, from zero to the top.
    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        let tick = |index| {
            let value = self.step * f64::from(index);
            (value, format!("{value:.0$}", self.decimals))
        };
        (0..=self.steps).map(tick).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(largest: f64) -> Vec<String> {
        let ticks = Axis::over(largest).ticks();
        ticks.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_and_reach_the_largest_value() {
        assert_eq!(labels(0.58), ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6"]);
        assert_eq!(labels(6.0), ["0", "1", "2", "3", "4", "5", "6"]);
        assert_eq!(labels(6.1), ["0", "2", "4", "6", "8"]);
        assert_eq!(labels(16.0), ["0", "5", "10", "15", "20"]);
        assert_eq!(labels(0.0123), ["0.000", "0.005", "0.010", "0.015"]);
        assert_eq!(labels(55.0), ["0", "10", "20", "30", "40", "50", "60"]);
    }

    #[test]
    fn nothing_has_an_axis_too() {
        for odd in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Axis::over(odd).top(), 1.0, "{odd}");
        }
    }

    #[test]
    fn places_are_proportional() {
        let axis = Axis::over(0.35);
        assert_eq!(axis.place(0.0, 400.0), 0.0);
        assert!((axis.place(axis.top(), 400.0) - 400.0).abs() < 1e-9);
        assert!((axis.place(axis.top() / 4.0, 400.0) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn every_axis_has_few_steps() {
        let mut value = 0.001;
        while value < 10_000.0 {
            let axis = Axis::over(value);
            assert!(
                axis.top() >= value * 0.999_999 && (3..=6).contains(&axis.steps),
                "{value}: {axis:?}"
            );
            value *= 1.07;
        }
    }
}
