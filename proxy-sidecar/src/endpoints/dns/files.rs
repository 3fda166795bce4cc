//! What the files of the system say of names: hosts(5), and resolv.conf(5) with its search list. No I/O.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// As many as other resolvers use.
const MAX_SERVERS: usize = 3;
const MAX_NDOTS: usize = 15;
/// Of search; the list has six in other resolvers, and Kubernetes allows 32.
const MAX_SEARCH: usize = 32;

/// How names are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResolvConf {
    pub(super) servers: Vec<SocketAddr>,
    search: Vec<String>,
    ndots: usize,
    /// Before a question is sent again.
    pub(super) timeout: Duration,
    /// How often a question is sent to each server.
    pub(super) attempts: u32,
}

impl ResolvConf {
    /// Unknown lines and options are read over, as everywhere.
    pub(super) fn parse(text: &str) -> Self {
        let mut conf = Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
        };
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    // A zone (fe80::1%eth0) is left out: a pod has none.
                    let server = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    conf.servers.extend(server.map(|ip| SocketAddr::new(ip, 53)));
                }
                Some("search" | "domain") => {
                    conf.search = words
                        .take(MAX_SEARCH)
                        .map(|word| word.trim_end_matches('.').to_owned())
                        .collect()
                }
                Some("options") => words.for_each(|option| conf.option(option)),
                _ => {}
            }
        }
        conf.servers.truncate(MAX_SERVERS);
        if conf.servers.is_empty() {
            conf.servers.push(SocketAddr::from(([127, 0, 0, 1], 53)));
        }
        conf
    }

    fn option(&mut self, option: &str) {
        let Some((name, Ok(number))) = option.split_once(':').map(|(name, value)| (name, value.parse::<u32>())) else {
            return;
        };
        match name {
            "ndots" => self.ndots = (number as usize).min(MAX_NDOTS),
            "timeout" => self.timeout = Duration::from_secs(number.clamp(1, 30).into()),
            "attempts" => self.attempts = number.clamp(1, 5),
            _ => {}
        }
    }

    /// The absolute names that `host` may mean, in the order in which they are asked for.
    pub(super) fn candidates(&self, host: &str) -> Vec<String> {
        if host.ends_with('.') {
            return vec![host.to_owned()];
        }
        let absolute = format!("{host}.");
        let mut names: Vec<String> = self
            .search
            .iter()
            .filter(|suffix| !suffix.is_empty())
            .map(|suffix| format!("{host}.{suffix}."))
            .collect();
        let dots = host.bytes().filter(|&byte| byte == b'.').count();
        names.insert(if dots >= self.ndots { 0 } else { names.len() }, absolute);
        names
    }
}

/// What hosts(5) says of `host`; empty when nothing. `localhost` is this machine everywhere: RFC 6761, section 6.3.
pub(super) fn hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let host = host.trim_end_matches('.');
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else {
            continue;
        };
        if words.any(|name| name.eq_ignore_ascii_case(host)) {
            found.push(address);
        }
    }
    if found.is_empty() && host.eq_ignore_ascii_case("localhost") {
        found.push(IpAddr::from([127, 0, 0, 1]));
    }
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_file_is_understood() {
        let conf = ResolvConf::parse(
            "# of kubelet\nnameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5 timeout:2 attempts:9 rotate\n",
        );
        assert_eq!(conf.servers, ["10.96.0.10:53".parse().unwrap()]);
        assert_eq!((conf.timeout, conf.attempts), (Duration::from_secs(2), 5));
        assert_eq!(
            conf.candidates("es.prod"),
            [
                "es.prod.shop.svc.cluster.local.",
                "es.prod.svc.cluster.local.",
                "es.prod.cluster.local.",
                "es.prod."
            ]
        );
        assert_eq!(conf.candidates("es.example.")[..], ["es.example."]);
        assert_eq!(conf.candidates("a.b.c.d.e.f")[0], "a.b.c.d.e.f.");
    }

    #[test]
    fn what_is_missing_or_wrong_has_defaults() {
        let conf = ResolvConf::parse("nameserver x\noptions ndots:x timeout:0 attempts:0 ndots\nsearch .\n");
        assert_eq!(conf.servers, ["127.0.0.1:53".parse().unwrap()]);
        assert_eq!((conf.timeout, conf.attempts), (Duration::from_secs(1), 1));
        assert_eq!(conf.candidates("es"), ["es."]);
        let many = "nameserver 192.0.2.1\n".repeat(9);
        assert_eq!(ResolvConf::parse(&many).servers.len(), MAX_SERVERS);
    }

    #[test]
    fn hosts_are_found_whatever_their_case() {
        let text = "127.0.0.1 localhost\n192.0.2.7\tes-1 ES.example # es-2\nfe80::1%lo0 es-1\n2001:db8::1 es-1\n";
        let found = |host| hosts(text, host).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(found("es-1"), ["192.0.2.7", "2001:db8::1"]);
        assert_eq!(found("es.EXAMPLE."), ["192.0.2.7"]);
        assert!(found("es-2").is_empty());
        assert_eq!(hosts("", "localhost"), [IpAddr::from([127, 0, 0, 1])]);
    }
}
