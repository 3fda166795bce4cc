//! The part of a request that decides where it goes.

use httparse::Header;

use super::fields::named;
use crate::policy::balance::Key;

/// Where that part is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HashBy {
    Header(String),
    Cookie(String),
    /// Without the query.
    Path,
}

impl HashBy {
    /// The first one, if the request has it.
    pub(crate) fn of(&self, headers: &[Header<'_>], path: &str) -> Option<Key> {
        let value = match self {
            Self::Header(name) => named(headers, name).next(),
            Self::Cookie(name) => cookie(headers, name),
            Self::Path => path.split(['?', '#']).next().map(str::as_bytes),
        };
        let spills = !matches!(self, Self::Cookie(_));
        value
            .filter(|value| !value.is_empty())
            .map(|value| Key::of(value, spills))
    }
}

/// RFC 6265, section 4.2.1.
fn cookie<'h>(headers: &'h [Header<'h>], name: &str) -> Option<&'h [u8]> {
    let mut pairs = named(headers, "cookie").flat_map(|value| value.split(|byte| *byte == b';'));
    pairs.find_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_is_found_where_it_is_said_to_be() {
        let header = |name, value: &'static str| Header {
            name,
            value: value.as_bytes(),
        };
        let headers = [
            header("x-tenant", "blue"),
            header("X-Tenant", "green"),
            header("Cookie", "a=1; session=abc=; sessions=2"),
            header("X-Empty", ""),
        ];
        let by = |part: HashBy| part.of(&headers, "/orders/7?q=1");
        let (as_header, as_cookie) = (
            |name: &str| HashBy::Header(name.into()),
            |name: &str| HashBy::Cookie(name.into()),
        );
        for (part, value) in [
            (as_header("X-Tenant"), Some("blue")),
            (as_header("X-None"), None),
            (as_header("X-Empty"), None),
            (as_cookie("session"), Some("abc=")),
            (as_cookie("sess"), None),
            (HashBy::Path, Some("/orders/7")),
        ] {
            let spills = !matches!(part, HashBy::Cookie(_));
            let key = value.map(|value| Key::of(value.as_bytes(), spills));
            assert_eq!(by(part.clone()), key, "{part:?}");
        }
    }
}
