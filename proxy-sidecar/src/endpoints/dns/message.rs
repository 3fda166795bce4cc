//! Questions to a name server and what its answers mean; no I/O. RFC 1035, section 4; RFC 3596 for AAAA.

use std::net::IpAddr;
use std::str::FromStr as _;
use std::time::Duration;

use domain::base::iana::{Rcode, Rtype};
use domain::base::name::Name;
use domain::base::{Message, MessageBuilder, ToName as _};
use domain::rdata::{A, Aaaa};

/// Addresses that one answer may bring. Of more, the lowest are taken: the same ones each time.
pub(super) const MAX_ADDRESSES: usize = 256;

/// Which addresses are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// What a name server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// The addresses, none when the name has none of this family, and how long that holds.
    Addresses(Vec<IpAddr>, Duration),
    /// There is no such name.
    NoSuchName,
    /// More than fits: to be asked again over TCP.
    Truncated,
    /// The server cannot tell; another one may.
    Failed(&'static str),
}

impl Family {
    pub(super) fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    pub(crate) fn has(self, address: &IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }

    fn record(self) -> Rtype {
        match self {
            Self::V4 => Rtype::A,
            Self::V6 => Rtype::AAAA,
        }
    }
}

/// The question for the addresses of `name`, which is absolute; `None` when it is no name.
pub(super) fn question(id: u16, name: &str, family: Family) -> Option<Vec<u8>> {
    let name = Name::<Vec<u8>>::from_str(name).ok()?;
    let mut builder = MessageBuilder::from_target(Vec::with_capacity(64)).ok()?;
    builder.header_mut().set_id(id);
    builder.header_mut().set_rd(true);
    let mut builder = builder.question();
    builder.push((name, family.record())).ok()?;
    Some(builder.finish())
}

/// What `reply` says to `question`; `None` when it is no answer to it, and somebody else's or forged.
pub(super) fn understand(question: &[u8], reply: &[u8]) -> Option<Reply> {
    let question = Message::from_slice(question).ok()?;
    let reply = Message::from_slice(reply).ok()?;
    if !reply.is_answer(question) {
        return None;
    }
    if reply.header().tc() {
        return Some(Reply::Truncated);
    }
    match reply.header().rcode() {
        Rcode::NOERROR => addresses(reply),
        Rcode::NXDOMAIN => Some(Reply::NoSuchName),
        Rcode::SERVFAIL => Some(Reply::Failed("it failed (SERVFAIL)")),
        Rcode::REFUSED => Some(Reply::Failed("it refused (REFUSED)")),
        _ => Some(Reply::Failed("it answered with an error")),
    }
}

/// The addresses of the name that was asked for, or of what it is an alias for.
fn addresses(reply: &Message<[u8]>) -> Option<Reply> {
    let name = reply.canonical_name()?;
    let (mut found, mut ttl) = (Vec::new(), Duration::MAX);
    for record in reply.answer().ok()? {
        let record = record.ok()?;
        // Aliases on the way hold for as long as they say, too.
        ttl = ttl.min(Duration::from_secs(record.ttl().as_secs().into()));
        if !record.owner().name_eq(&name) {
            continue;
        }
        if let Ok(Some(v4)) = record.to_record::<A>() {
            found.push(IpAddr::V4(v4.data().addr()));
        } else if let Ok(Some(v6)) = record.to_record::<Aaaa>() {
            found.push(IpAddr::V6(v6.data().addr()));
        }
    }
    // Resolvers take turns by shuffling; here a set is meant.
    found.sort_unstable();
    found.dedup();
    found.truncate(MAX_ADDRESSES);
    Some(Reply::Addresses(found, ttl))
}

#[cfg(test)]
mod tests {
    use domain::base::iana::Class;
    use domain::base::{Record, Ttl};
    use domain::rdata::Cname;
    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "es.example.";

    fn asked() -> Vec<u8> {
        question(7, NAME, Family::V4).unwrap()
    }

    fn name(text: &str) -> Name<Vec<u8>> {
        Name::from_str(text).unwrap()
    }

    /// An answer with aliases `(from, to, ttl)` and addresses `(owner, last octet, ttl)`.
    fn answer(rcode: Rcode, aliases: &[(&str, &str, u32)], addresses: &[(&str, u8, u32)]) -> Vec<u8> {
        let asked = asked();
        let asked = Message::from_slice(&asked).unwrap();
        let mut answer = MessageBuilder::from_target(Vec::new())
            .unwrap()
            .start_answer(asked, rcode)
            .unwrap();
        for (from, to, ttl) in aliases {
            let record = Record::new(name(from), Class::IN, Ttl::from_secs(*ttl), Cname::new(name(to)));
            answer.push(record).unwrap();
        }
        for (owner, last, ttl) in addresses {
            let record = Record::new(
                name(owner),
                Class::IN,
                Ttl::from_secs(*ttl),
                A::from_octets(198, 51, 100, *last),
            );
            answer.push(record).unwrap();
        }
        answer.finish()
    }

    fn found(last: &[u8], ttl: u64) -> Option<Reply> {
        let addresses = last.iter().map(|last| IpAddr::from([198, 51, 100, *last])).collect();
        Some(Reply::Addresses(addresses, Duration::from_secs(ttl)))
    }

    #[test]
    fn addresses_come_in_one_order_with_the_shortest_time() {
        let reply = answer(Rcode::NOERROR, &[], &[(NAME, 9, 30), (NAME, 2, 5), (NAME, 9, 30)]);
        assert_eq!(understand(&asked(), &reply), found(&[2, 9], 5));
    }

    #[test]
    fn an_alias_is_followed_and_others_are_not() {
        let aliases = [(NAME, "b.example.", 60), ("b.example.", "c.example.", 20)];
        let reply = answer(
            Rcode::NOERROR,
            &aliases,
            &[("c.example.", 1, 30), ("evil.example.", 2, 30)],
        );
        assert_eq!(understand(&asked(), &reply), found(&[1], 20));
        let circle = [(NAME, "b.example.", 60), ("b.example.", NAME, 60)];
        assert_eq!(understand(&asked(), &answer(Rcode::NOERROR, &circle, &[])), None);
    }

    #[test]
    fn what_is_no_answer_is_told_apart() {
        for (rcode, reply) in [
            (Rcode::NXDOMAIN, Reply::NoSuchName),
            (Rcode::SERVFAIL, Reply::Failed("it failed (SERVFAIL)")),
            (Rcode::REFUSED, Reply::Failed("it refused (REFUSED)")),
            (Rcode::NOTIMP, Reply::Failed("it answered with an error")),
        ] {
            assert_eq!(understand(&asked(), &answer(rcode, &[], &[])), Some(reply));
        }
        let mut truncated = answer(Rcode::NOERROR, &[], &[]);
        truncated[2] |= 2;
        assert_eq!(understand(&asked(), &truncated), Some(Reply::Truncated));
    }

    #[test]
    fn the_answer_to_another_question_is_ignored() {
        let mut other_id = answer(Rcode::NOERROR, &[], &[(NAME, 1, 30)]);
        other_id[1] ^= 1;
        assert_eq!(understand(&asked(), &other_id), None);
        let other_name = question(7, "other.example.", Family::V4).unwrap();
        assert_eq!(understand(&other_name, &answer(Rcode::NOERROR, &[], &[])), None);
        assert_eq!(understand(&asked(), &asked()), None, "an echo is no answer");
    }

    #[test]
    fn the_number_of_addresses_is_limited() {
        for (count, taken) in [(255_u32, 255), (256, 256), (257, 256)] {
            let asked = asked();
            let asked = Message::from_slice(&asked).unwrap();
            let mut answer = MessageBuilder::from_target(Vec::new())
                .unwrap()
                .start_answer(asked, Rcode::NOERROR)
                .unwrap();
            for n in 0..count {
                let [_, _, high, low] = n.to_be_bytes();
                let record = Record::new(
                    name(NAME),
                    Class::IN,
                    Ttl::from_secs(1),
                    A::from_octets(198, 18, high, low),
                );
                answer.push(record).unwrap();
            }
            let Some(Reply::Addresses(found, _)) = understand(asked.as_slice(), &answer.finish()) else {
                panic!("no addresses of {count}");
            };
            assert_eq!(found.len(), taken);
        }
    }

    #[test]
    fn what_is_no_name_is_no_question() {
        for bad in [
            "a..example.",
            &format!("{}.example.", "a".repeat(64)),
            &"ab.".repeat(100),
        ] {
            assert_eq!(question(1, bad, Family::V4), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_reply_makes_it_panic(at in 0usize..200, byte in any::<u8>(), cut in 0usize..200) {
            let aliases = [(NAME, "b.example.", 60)];
            let mut reply = answer(Rcode::NOERROR, &aliases, &[("b.example.", 1, 30), ("b.example.", 2, 30)]);
            let length = reply.len();
            reply[at % length] = byte;
            reply.truncate(length.min(cut));
            let _reply = understand(&asked(), &reply);
        }
    }
}
