//! Which addresses this machine has a route to. A pod of one family is given names with both.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Leaves out what cannot be reached at all; everything, when that is all there is.
pub(super) fn reachable(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    if addresses.iter().any(|address| has_route(*address)) {
        addresses.retain(|address| has_route(*address));
    }
    addresses
}

/// Asks the kernel, by a connected datagram socket: nothing is sent.
fn has_route(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    const ANY_PORT: u16 = 9;
    UdpSocket::bind((any, 0)).is_ok_and(|socket| socket.connect((address, ANY_PORT)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_route_is_left_out_unless_it_is_all_there_is() {
        // For broadcasts, and so for nobody.
        let nowhere: IpAddr = "255.255.255.255".parse().unwrap();
        let here: IpAddr = "127.0.0.1".parse().unwrap();
        assert!(has_route(here) && !has_route(nowhere));
        assert_eq!(reachable(vec![nowhere, here]), [here]);
        assert_eq!(reachable(vec![nowhere]), [nowhere]);
    }
}
