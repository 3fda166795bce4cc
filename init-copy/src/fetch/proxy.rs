//! Which proxy the environment names for a URL: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, in either case.
//!
//! There is no standard; this is what curl and Go do, where they agree: a name stands for itself and what is below it, an address
//! may be a network such as `10.0.0.0/8`, `*` stands for everything. The upper-case `HTTP_PROXY` is not read where `REQUEST_METHOD`
//! is set, since a CGI client could then set it.

use std::net::IpAddr;

use super::WebUrl;

/// The proxy's URL, if one is to be used.
pub(crate) fn proxy_for(url: &WebUrl, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let either = |name: &str| {
        variable(name)
            .or_else(|| variable(&name.to_ascii_uppercase()))
            .filter(|value| !value.trim().is_empty())
    };
    let own = if url.is_https() {
        either("https_proxy")
    } else if variable("REQUEST_METHOD").is_some() {
        variable("http_proxy")
    } else {
        either("http_proxy")
    };
    let proxy = own.or_else(|| either("all_proxy"))?;
    let bypassed = either("no_proxy").is_some_and(|list| list.split([',', ' ']).any(|rule| matches(rule.trim(), url)));
    let proxy = proxy.trim().to_owned();
    let proxy = if proxy.contains("://") {
        proxy
    } else {
        format!("http://{proxy}")
    };
    (!bypassed).then_some(proxy)
}

fn matches(rule: &str, url: &WebUrl) -> bool {
    let host = url
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_ascii_lowercase();
    if rule == "*" {
        return true;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return match rule.split_once('/') {
            Some((network, bits)) => network
                .parse()
                .is_ok_and(|network| bits.parse().is_ok_and(|bits| within(address, network, bits))),
            None => rule.trim_matches(['[', ']']).parse() == Ok(address),
        };
    }
    let (rule, port) = match rule.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => (name, port.parse::<u16>().ok()),
        _ => (rule, None),
    };
    let rule = rule
        .trim_start_matches('*')
        .trim_start_matches('.')
        .to_ascii_lowercase();
    let name_matches = !rule.is_empty() && (host == rule || host.ends_with(&format!(".{rule}")));
    name_matches && port.is_none_or(|port| port == url.port())
}

fn within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            a.to_bits() & mask == n.to_bits() & mask
        }
        (IpAddr::V6(a), IpAddr::V6(n)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            a.to_bits() & mask == n.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(url: &str, variables: &[(&str, &str)]) -> Option<String> {
        let variable = |name: &str| {
            variables
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| (*value).to_owned())
        };
        proxy_for(&url.parse().unwrap(), variable)
    }

    #[test]
    fn the_scheme_chooses_the_variable() {
        let both = [("HTTP_PROXY", "p:1"), ("https_proxy", "http://s:2")];
        assert_eq!(proxy("http://h/", &both).as_deref(), Some("http://p:1"));
        assert_eq!(proxy("https://h/", &both).as_deref(), Some("http://s:2"));
        assert_eq!(
            proxy("https://h/", &[("ALL_PROXY", "http://a:3")]).as_deref(),
            Some("http://a:3")
        );
        assert_eq!(
            proxy("http://h/", &[("HTTP_PROXY", "p:1"), ("REQUEST_METHOD", "GET")]),
            None
        );
        assert_eq!(proxy("http://h/", &[("http_proxy", " ")]), None);
    }

    #[test]
    fn exceptions_are_names_addresses_and_networks() {
        for (rule, host, bypassed) in [
            ("h.example", "h.example", true),
            ("example", "h.example", true),
            (".example", "h.example", true),
            ("*.example", "h.example", true),
            ("ample", "h.example", false),
            ("h.example:8080", "h.example", false),
            ("h.example:80", "h.example", true),
            ("x, H.EXAMPLE", "h.example", true),
            ("*", "h.example", true),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("0.0.0.0/0", "11.1.2.3", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.30", false),
            ("fd00::/8", "[fd00::1]", true),
            ("[::1]", "[::1]", true),
            ("", "h.example", false),
        ] {
            let found = proxy(
                &format!("http://{host}/"),
                &[("http_proxy", "http://p:1"), ("NO_PROXY", rule)],
            );
            assert_eq!(found.is_none(), bypassed, "{rule} for {host}");
        }
    }
}
