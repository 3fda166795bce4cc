//! Which format a scraper wants. RFC 9110, section 12.5.1; <https://prometheus.io/docs/instrumenting/content_negotiation/>.

use std::cmp::Reverse;

use http::HeaderMap;
use http::header::ACCEPT;

/// A format that metrics are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4. <https://prometheus.io/docs/instrumenting/exposition_formats/>
    Text,
    /// OpenMetrics 1.0. <https://prometheus.io/docs/specs/om/open_metrics_spec/>
    OpenMetrics,
}

impl Format {
    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// How exactly a media range means this format; `None` when it does not.
    fn matched_by(self, media: &str, version: Option<&str>) -> Option<u8> {
        let (group, name, own_version) = match self {
            Self::Text => ("text/*", "text/plain", "0.0.4"),
            Self::OpenMetrics => ("application/*", "application/openmetrics-text", "1.0.0"),
        };
        match version {
            None if media == "*/*" => Some(0),
            None if media == group => Some(1),
            None if media == name => Some(2),
            Some(version) if media == name && version == own_version => Some(3),
            _ => None,
        }
    }
}

/// One range of an `Accept`, with its weight.
struct Range {
    media: String,
    version: Option<String>,
    weight: f32,
}

/// The format that the `Accept` lines of a request prefer; text when nothing fits, since a scraper can do more with it than with a 406.
pub fn negotiate(headers: &HeaderMap) -> Format {
    let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let ranges: Vec<Range> = lines.flat_map(|line| line.split(',')).map(range).collect();
    // Of several ranges that mean a format, the most exact one has the say.
    let wish = |format: Format| {
        let meant = ranges.iter().enumerate().filter_map(|(at, range)| {
            let exact = format.matched_by(&range.media, range.version.as_deref())?;
            Some((exact, Reverse(at), range.weight))
        });
        let said = meant.max_by_key(|&(exact, at, _)| (exact, at));
        said.filter(|&(.., weight)| weight > 0.0)
            .map(|(exact, at, weight)| (weight, exact, at))
    };
    match (wish(Format::Text), wish(Format::OpenMetrics)) {
        (text, open) if open > text => Format::OpenMetrics,
        _ => Format::Text,
    }
}

fn range(text: &str) -> Range {
    let mut parts = text.split(';').map(str::trim);
    let mut range = Range {
        media: parts.next().unwrap_or_default().to_ascii_lowercase(),
        version: None,
        weight: 1.0,
    };
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "q" => range.weight = value.parse().ok().filter(|q| (0.0..=1.0).contains(q)).unwrap_or(0.0),
            "version" => range.version = Some(value.to_owned()),
            _ => {}
        }
    }
    range
}

#[cfg(test)]
mod tests {
    use super::Format::{OpenMetrics, Text};
    use super::*;

    fn wanted(lines: &[&'static str]) -> Format {
        let headers = lines.iter().map(|line| (ACCEPT, http::HeaderValue::from_static(line)));
        negotiate(&headers.collect())
    }

    #[test]
    fn scrapers_get_what_they_prefer() {
        for (accept, format) in [
            ("", Text),
            ("*/*", Text),
            ("text/plain", Text),
            ("text/html", Text),
            ("application/openmetrics-text", OpenMetrics),
            ("application/openmetrics-text; version=1.0.0", OpenMetrics),
            ("application/openmetrics-text; version=0.0.1", Text),
            (
                "application/openmetrics-text; version=2.0.0; q=0.9, text/plain;q=0.1",
                Text,
            ),
            ("application/openmetrics-text;q=0", Text),
            ("application/openmetrics-text;q=0, */*", Text),
            ("application/openmetrics-text;q=0.000", Text),
            ("application/openmetrics-text;q=7", Text),
            ("application/openmetrics-text, */*", OpenMetrics),
            ("*/*, application/openmetrics-text;q=0.1", Text),
            ("text/plain;q=0, */*", OpenMetrics),
            ("text/plain;q=0.1, */*;q=0.5", OpenMetrics),
            ("application/*, text/*;q=0.5", OpenMetrics),
            ("text/plain, application/openmetrics-text", Text),
            ("application/openmetrics-text, text/plain", OpenMetrics),
            ("text/plain;q=0.5, application/openmetrics-text;q=0.4", Text),
            ("text/plain;q=0.4, application/openmetrics-text;q=0.5", OpenMetrics),
            ("APPLICATION/OpenMetrics-Text;Version=\"1.0.0\";Q=0.5", OpenMetrics),
            // Prometheus 2.42.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            // Prometheus 3.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
                Text,
            ),
        ] {
            assert_eq!(wanted(&[accept]), format, "{accept:?}");
        }
    }

    #[test]
    fn several_lines_count_together() {
        assert_eq!(
            wanted(&["text/plain;q=0.5", "application/openmetrics-text"]),
            OpenMetrics
        );
        assert_eq!(wanted(&["application/openmetrics-text;q=0.5", "text/plain"]), Text);
        assert_eq!(wanted(&[]), Text);
    }
}
