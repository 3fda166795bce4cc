//! Logs of Kubernetes' components: `I1126 10:00:00.123456   12345 file.go:123] message`.
//! Source: <https://github.com/kubernetes/klog/blob/main/klog.go>, `formatHeader`.

use std::borrow::Cow;

use super::json::is_number;
use super::{Parsed, Value};
use crate::parse::level::Level;

pub(super) fn read(text: &str) -> Option<Parsed<'_>> {
    let level = match text.as_bytes().first()? {
        b'I' => Level::Info,
        b'W' => Level::Warn,
        b'E' => Level::Error,
        b'F' => Level::Fatal,
        _ => return None,
    };
    let (head, message) = text.split_once("] ").or_else(|| Some((text.strip_suffix(']')?, "")))?;
    let mut words = head.get(1..)?.split_ascii_whitespace();
    let (day, time, thread, source) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if day.len() != 4 || !is_digits(day) || !time.contains(':') || !is_number(thread) || words.next().is_some() {
        return None;
    }
    Some(Parsed {
        message: Some(Value::Text(message.into())),
        level: Some(level),
        fields: vec![
            (Cow::Borrowed("thread"), Value::Json(thread)),
            (Cow::Borrowed("source"), Value::Text(source.into())),
        ],
    })
}
