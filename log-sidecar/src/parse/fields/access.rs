//! Access logs of Apache, nginx and Tomcat, common and combined:
//! <https://httpd.apache.org/docs/2.4/logs.html#accesslog>.

use std::borrow::Cow;

use super::json::is_number;
use super::logfmt::{end_of_quoted, unescaped};
use super::{Field, Value};

/// `HOST IDENT USER [TIME] "METHOD PATH PROTOCOL" STATUS SIZE`, and `"REFERER" "AGENT"` after that; what is `-` is not there, and what follows
/// is `rest`.
pub(super) fn read(text: &str) -> Option<Vec<Field<'_>>> {
    let (host, rest) = text.split_once(' ')?;
    let (ident, rest) = rest.split_once(' ')?;
    let (user, rest) = rest.split_once(" [")?;
    let (time, rest) = rest.split_once("] ")?;
    let (request, rest) = quoted(rest)?;
    let mut rest = rest.splitn(3, ' ');
    let (status, size, rest) = (rest.next()?, rest.next().unwrap_or("-"), rest.next());
    if !is_number(status) || !(size == "-" || is_number(size)) {
        return None;
    }
    let rest = rest.unwrap_or_default();
    let (referer, rest) = quoted(rest).unwrap_or((Cow::Borrowed(""), rest));
    let (agent, rest) = quoted(rest).unwrap_or((Cow::Borrowed(""), rest));
    let mut parts = request.split(' ').map(str::to_owned);
    let parts = (parts.next(), parts.next(), parts.next(), parts.next());
    let request = match parts {
        (Some(method), Some(path), protocol, None) => [
            ("method", Some(method.into())),
            ("path", Some(path.into())),
            ("protocol", protocol.map(Cow::Owned)),
        ],
        // Whatever somebody has sent.
        _ => [("request", Some(request)), ("path", None), ("protocol", None)],
    };
    let number = |name, value| (value != "-").then_some((name, Value::Json(value)));
    let fields = [
        field(("host", Some(host.into()))),
        field(("ident", given(ident.into()))),
        field(("user", given(user.into()))),
        field(("time", Some(time.into()))),
    ]
    .into_iter()
    .chain(request.map(field))
    .chain([number("status", status), number("size", size)])
    .chain([
        field(("referer", given(referer))),
        field(("agent", given(agent))),
        field(("rest", given(rest.into()))),
    ]);
    Some(
        fields
            .flatten()
            .map(|(name, value)| (Cow::Borrowed(name), value))
            .collect(),
    )
}

fn field<'t>((name, value): (&'static str, Option<Cow<'t, str>>)) -> Option<(&'static str, Value<'t>)> {
    Some((name, Value::Text(value?)))
}

fn given(value: Cow<'_, str>) -> Option<Cow<'_, str>> {
    (!value.is_empty() && value != "-").then_some(value)
}

/// What stands between quotes at the start, and what comes after the blank that follows.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let text = text.strip_prefix('"')?;
    let end = end_of_quoted(text)?;
    let rest = &text[end + 1..];
    Some((unescaped(&text[..end]), rest.strip_prefix(' ').unwrap_or(rest)))
}
