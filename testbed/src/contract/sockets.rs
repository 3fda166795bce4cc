//! How a process treats its sockets, looked at from outside.

use std::fs;
use std::net::{SocketAddr, TcpStream};

use rustix::net::{getpeername, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, pidfd_getfd, pidfd_open};

use crate::process::Running;
use crate::wait;

/// Somewhere between the 128 connections that the standard library lets wait and what a small pod opens at once.
const BURST: usize = 400;

/// An accepted connection sends small pieces at once (`TCP_NODELAY`): the second piece of an answer would else wait 40 ms for the
/// client's delayed acknowledgement.
#[track_caller]
pub fn assert_no_delay(running: &Running, address: &str) {
    let client = TcpStream::connect(address).expect("it listens");
    let ours = client.local_addr().expect("it is connected");
    let pid = Pid::from_raw(running.id().cast_signed()).expect("a process id");
    let process = pidfd_open(pid, PidfdFlags::empty()).expect("the process is there");
    let accepted = || {
        let fds = fs::read_dir(format!("/proc/{}/fd", running.id())).expect("the process is ours");
        fds.flatten()
            .filter_map(|fd| fd.file_name().to_str()?.parse().ok())
            .filter_map(|fd| pidfd_getfd(&process, fd, PidfdGetfdFlags::empty()).ok())
            .find(|fd| {
                getpeername(fd).is_ok_and(|peer| peer.is_some_and(|peer| SocketAddr::try_from(peer) == Ok(ours)))
            })
    };
    let told = format!("TCP_NODELAY on a connection to {address}");
    wait::until(&told, || {
        accepted().and_then(|fd| sockopt::tcp_nodelay(&fd).ok().filter(|&is_set| is_set))
    });
}

/// Connections that come while the process is busy are taken by the kernel: a full queue would cost each of them a second.
#[track_caller]
pub fn assert_takes_a_burst(running: &Running, address: &str) {
    let address = address.parse().expect("an address");
    running.signal(Signal::STOP);
    let burst: Vec<_> = (0..BURST)
        .map_while(|_| TcpStream::connect_timeout(&address, wait::PATIENCE).ok())
        .collect();
    running.signal(Signal::CONT);
    assert_eq!(burst.len(), BURST, "the queue of {address} is full");
}
