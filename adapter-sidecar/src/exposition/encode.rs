//! Families as text.
//!
//! Prometheus text 0.0.4: <https://prometheus.io/docs/instrumenting/exposition_formats/>.
//! OpenMetrics 1.0: <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

use super::model::{Family, Kind, Sample};
use pod_contract::metrics::Format;

use super::number;

/// The whole exposition.
pub(crate) fn encode(families: &[Family], format: Format) -> String {
    let mut out = String::with_capacity(families.len() * 256);
    for family in families {
        header(&mut out, family, format);
        for sample in &family.samples {
            line(&mut out, family, sample);
        }
    }
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

fn header(out: &mut String, family: &Family, format: Format) {
    let kind = match (family.kind, format) {
        (Kind::Gauge, _) | (Kind::StateSet, Format::Text) => "gauge",
        (Kind::StateSet, Format::OpenMetrics) => "stateset",
    };
    let mut comment = |word: &str, text: &str| {
        for part in ["# ", word, " ", family.name, " ", text, "\n"] {
            out.push_str(part);
        }
    };
    comment("TYPE", kind);
    if let (Some(unit), Format::OpenMetrics) = (family.unit, format) {
        comment("UNIT", unit);
    }
    comment("HELP", &escape_help(family.help, format));
}

fn line(out: &mut String, family: &Family, sample: &Sample) {
    out.push_str(family.name);
    for (index, (name, value)) in sample.labels.iter().enumerate() {
        out.push(if index == 0 { '{' } else { ',' });
        out.push_str(name);
        out.push_str("=\"");
        escape_label(out, value);
        out.push('"');
    }
    if !sample.labels.is_empty() {
        out.push('}');
    }
    out.push(' ');
    number::write(out, sample.value);
    out.push('\n');
}

fn escape_label(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

/// Only OpenMetrics knows an escaped quote in a help text.
fn escape_help(help: &str, format: Format) -> String {
    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
    if format == Format::OpenMetrics {
        help.replace('"', "\\\"")
    } else {
        help
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn families() -> Vec<Family> {
        let sample = |labels: &[(&'static str, &str)], value| Sample {
            labels: labels.iter().map(|(n, v)| (*n, (*v).to_owned())).collect(),
            value,
        };
        vec![
            Family {
                name: "a_seconds",
                help: "A \"b\" \\ c.",
                unit: Some("seconds"),
                kind: Kind::Gauge,
                samples: vec![sample(&[], 0.25)],
            },
            Family {
                name: "s",
                help: "States.",
                unit: None,
                kind: Kind::StateSet,
                samples: vec![
                    sample(&[("c", "q\"\\\nz"), ("s", "up")], 1.0),
                    sample(&[("c", ""), ("s", "down")], 0.0),
                ],
            },
        ]
    }

    #[test]
    fn prometheus_text() {
        let expected = "# TYPE a_seconds gauge\n# HELP a_seconds A \"b\" \\\\ c.\na_seconds 0.25\n\
                        # TYPE s gauge\n# HELP s States.\ns{c=\"q\\\"\\\\\\nz\",s=\"up\"} 1\ns{c=\"\",s=\"down\"} 0\n";
        assert_eq!(encode(&families(), Format::Text), expected);
    }

    #[test]
    fn open_metrics() {
        let expected = "# TYPE a_seconds gauge\n# UNIT a_seconds seconds\n# HELP a_seconds A \\\"b\\\" \\\\ c.\na_seconds 0.25\n\
                        # TYPE s stateset\n# HELP s States.\ns{c=\"q\\\"\\\\\\nz\",s=\"up\"} 1\ns{c=\"\",s=\"down\"} 0\n# EOF\n";
        assert_eq!(encode(&families(), Format::OpenMetrics), expected);
    }

    #[test]
    fn nothing_is_still_an_exposition() {
        assert_eq!(
            (
                encode(&[], Format::Text).as_str(),
                encode(&[], Format::OpenMetrics).as_str()
            ),
            ("", "# EOF\n")
        );
    }
}
