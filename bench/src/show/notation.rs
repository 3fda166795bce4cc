//! Figures as text: never more digits than were measured well.

/// `12.3`, `1.23`, `0.123`, `0.004`: three significant digits, no more than milliseconds.
pub(crate) fn seconds(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else if value >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

/// `0.42x`.
pub(crate) fn ratio(value: f64) -> String {
    format!("{value:.2}x")
}

/// `1.0x`, `0.05x`: as the goal says it.
pub(crate) fn limit_ratio(value: f64) -> String {
    format!("{value:?}x")
}

/// `2.1`.
pub(crate) fn one_decimal(value: f64) -> String {
    format!("{value:.1}")
}

/// `1,160,344`.
pub(crate) fn bytes(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_keep_three_digits() {
        let texts = [123.4, 12.34, 1.234, 0.1234, 0.00049].map(seconds);
        assert_eq!(texts, ["123", "12.3", "1.23", "0.123", "0.000"]);
    }

    #[test]
    fn bytes_are_grouped() {
        assert_eq!([0, 999, 1000, 1_160_344].map(bytes), ["0", "999", "1,000", "1,160,344"]);
    }

    #[test]
    fn ratios_say_that_they_are_factors() {
        assert_eq!(
            (ratio(0.416), limit_ratio(1.0), limit_ratio(0.05)),
            ("0.42x".into(), "1.0x".into(), "0.05x".into())
        );
    }
}
