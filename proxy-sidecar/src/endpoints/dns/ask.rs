//! One question to the name servers: over UDP, and over TCP when the answer is too long for that. RFC 1035, section 4.2.

use std::future::{Future as _, poll_fn};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

use super::message::{Reply, understand};

/// The first time that a question is sent again; then twice as long each time. A lost packet is more frequent than a slow server.
const RESEND: Duration = Duration::from_secs(1);
/// An answer is not waited for longer than this, whatever resolv.conf(5) says.
const LONGEST: Duration = Duration::from_secs(30);
/// The largest answer over UDP to a question that does not offer more.
const MAX_UDP: usize = 512;

/// The name servers, in the order in which they are asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Servers<'s> {
    /// Each once.
    pub(super) addresses: &'s [SocketAddr],
    /// The longest time before a question is sent again.
    pub(super) timeout: Duration,
    /// With `timeout`, how long an answer is waited for, for each server.
    pub(super) attempts: u32,
}

/// Why nothing is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// All servers that said anything said that they cannot tell.
    Refused(String),
    /// Nobody said anything.
    Silence(String),
}

/// A server that has been asked. It may answer for as long as anybody may: what comes late is used.
struct Asked {
    server: SocketAddr,
    socket: UdpSocket,
}

/// The first answer that settles `question`.
pub(super) async fn ask(servers: Servers<'_>, question: &[u8]) -> Result<Reply, NoAnswer> {
    let patience = servers.timeout * servers.attempts * u32::try_from(servers.addresses.len()).unwrap_or(1);
    let deadline = Instant::now() + patience.min(LONGEST);
    let mut asked: Vec<Asked> = Vec::new();
    let mut resend = RESEND.min(servers.timeout);
    let mut why = NoAnswer::Silence(format!("no answer within {:?}", patience.min(LONGEST)));
    let mut turns = servers.addresses.iter().cycle();
    let mut failed: Vec<SocketAddr> = Vec::new();
    loop {
        // Once around: one that has failed is not asked again.
        let Some(server) = turns
            .by_ref()
            .take(servers.addresses.len())
            .find(|server| !failed.contains(server))
        else {
            return Err(why);
        };
        if let Err(error) = send(&mut asked, *server, question).await {
            why = NoAnswer::Silence(format!("{server}: {error}"));
            failed.push(*server);
            continue;
        }
        let until = deadline.min(Instant::now() + resend);
        resend = (resend * 2).min(servers.timeout);
        // Until it is time for the next server, or nobody is left to answer.
        while asked.iter().any(|asked| !failed.contains(&asked.server)) {
            let Ok((server, reply)) = timeout_at(until, receive(&asked, &failed, question)).await else {
                break;
            };
            let reply = match reply {
                Ok(Reply::Truncated) => over_tcp(server, question, until).await,
                reply => reply,
            };
            match reply {
                Ok(reply @ (Reply::Addresses(..) | Reply::NoSuchName)) => return Ok(reply),
                Ok(Reply::Failed(reason)) => why = NoAnswer::Refused(format!("{server}: {reason}")),
                Ok(Reply::Truncated) => why = NoAnswer::Refused(format!("{server}: the answer is too long")),
                Err(error) => why = NoAnswer::Silence(format!("{server}: {error}")),
            }
            failed.push(server);
        }
        if Instant::now() >= deadline {
            return Err(why);
        }
    }
}

/// Sends the question to `server`, from a port of its own: two questions at a time from one may be lost in connection tracking.
async fn send(asked: &mut Vec<Asked>, server: SocketAddr, question: &[u8]) -> io::Result<()> {
    if let Some(asked) = asked.iter().find(|asked| asked.server == server) {
        return asked.socket.send(question).await.map(drop);
    }
    let any: SocketAddr = if server.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    // Connected: only the server can answer.
    let sent = async {
        socket.connect(server).await?;
        socket.send(question).await
    };
    let sent = sent.await;
    asked.push(Asked { server, socket });
    sent.map(drop)
}

/// The next answer of any server that was asked and has not failed.
async fn receive(asked: &[Asked], failed: &[SocketAddr], question: &[u8]) -> (SocketAddr, io::Result<Reply>) {
    let open = asked.iter().filter(|asked| !failed.contains(&asked.server));
    let mut answers: Vec<_> = open
        .map(|asked| (asked.server, Box::pin(receive_one(&asked.socket, question))))
        .collect();
    poll_fn(|context| {
        for (server, answer) in &mut answers {
            if let Poll::Ready(reply) = answer.as_mut().poll(context) {
                return Poll::Ready((*server, reply));
            }
        }
        Poll::Pending
    })
    .await
}

async fn receive_one(socket: &UdpSocket, question: &[u8]) -> io::Result<Reply> {
    let mut block = [0; MAX_UDP];
    loop {
        // That nobody is there comes as an error alone.
        let ready = socket.ready(Interest::READABLE | Interest::ERROR).await?;
        if ready.is_error() {
            let error = socket.take_error()?;
            return Err(error.unwrap_or_else(|| io::ErrorKind::ConnectionRefused.into()));
        }
        match socket.try_recv(&mut block) {
            Ok(length) => {
                if let Some(reply) = understand(question, &block[..length]) {
                    return Ok(reply);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &[u8], deadline: Instant) -> io::Result<Reply> {
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        let length = u16::try_from(question.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; length.into()];
        stream.read_exact(&mut answer).await?;
        understand(question, &answer).ok_or_else(|| io::Error::other("it is no answer to what was asked"))
    };
    timeout_at(deadline, exchange)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|error| io::Error::new(error.kind(), format!("over TCP: {error}")))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use tokio::net::TcpListener;
    use tokio::task::LocalSet;

    use super::super::message::{Family, question};
    use super::*;

    /// Answers without addresses.
    fn answer(question: &[u8], flags: [u8; 2]) -> Vec<u8> {
        let mut answer = question.to_vec();
        (answer[2], answer[3]) = (flags[0], flags[1]);
        answer
    }

    const GOOD: [u8; 2] = [0x80, 0];
    const SERVFAIL: [u8; 2] = [0x80, 2];
    const TRUNCATED: [u8; 2] = [0x82, 0];

    /// A server that answers its n-th question, counted from 0, with what `script` says.
    async fn server(script: impl Fn(usize) -> Option<[u8; 2]> + 'static) -> (SocketAddr, Rc<Cell<usize>>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (address, seen) = (socket.local_addr().unwrap(), Rc::new(Cell::new(0)));
        let counted = Rc::clone(&seen);
        tokio::task::spawn_local(async move {
            let mut block = [0; MAX_UDP];
            loop {
                let (length, from) = socket.recv_from(&mut block).await.unwrap();
                let number = counted.replace(counted.get() + 1);
                if let Some(flags) = script(number) {
                    socket.send_to(&answer(&block[..length], flags), from).await.unwrap();
                }
            }
        });
        (address, seen)
    }

    fn local<F: Future>(future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        LocalSet::new().block_on(&runtime, future)
    }

    async fn asking(addresses: &[SocketAddr]) -> Result<Reply, NoAnswer> {
        let servers = Servers {
            addresses,
            timeout: Duration::from_millis(100),
            attempts: 3,
        };
        ask(servers, &question(1, "es.example.", Family::V4).unwrap()).await
    }

    const NONE: Reply = Reply::Addresses(Vec::new(), Duration::MAX);

    #[test]
    fn a_lost_question_is_sent_again() {
        local(async {
            let (address, seen) = server(|number| (number == 1).then_some(GOOD)).await;
            assert_eq!(asking(&[address]).await, Ok(NONE));
            assert_eq!(seen.get(), 2);
        });
    }

    #[test]
    fn a_server_that_fails_or_is_not_there_leaves_it_to_the_next_at_once() {
        local(async {
            let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
            let (failing, seen) = server(|_| Some(SERVFAIL)).await;
            let (good, _) = server(|_| Some(GOOD)).await;
            let start = Instant::now();
            assert_eq!(asking(&[nobody, failing, good]).await, Ok(NONE));
            assert!(start.elapsed() < Duration::from_millis(90), "{:?}", start.elapsed());
            assert_eq!(seen.get(), 1);
            assert_eq!(
                asking(&[failing]).await,
                Err(NoAnswer::Refused(format!("{failing}: it failed (SERVFAIL)")))
            );
        });
    }

    #[test]
    fn an_answer_that_comes_late_is_used() {
        local(async {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let slow = socket.local_addr().unwrap();
            tokio::task::spawn_local(async move {
                let mut block = [0; MAX_UDP];
                let (length, from) = socket.recv_from(&mut block).await.unwrap();
                // By then the second server has been asked, and the first one again.
                tokio::time::sleep(Duration::from_millis(250)).await;
                socket.send_to(&answer(&block[..length], GOOD), from).await.unwrap();
            });
            let (silent, seen) = server(|_| None).await;
            assert_eq!(asking(&[slow, silent]).await, Ok(NONE));
            assert_eq!(seen.get(), 1);
        });
    }

    #[test]
    fn a_silent_server_is_given_up_in_time() {
        local(async {
            let (address, seen) = server(|_| None).await;
            assert_eq!(
                asking(&[address]).await,
                Err(NoAnswer::Silence("no answer within 300ms".into()))
            );
            assert_eq!(seen.get(), 3);
            let (second, seen) = server(|_| None).await;
            assert!(asking(&[address, second]).await.is_err());
            assert_eq!(seen.get(), 3, "each has its share");
        });
    }

    #[test]
    fn an_address_that_cannot_be_sent_to_costs_nothing() {
        local(async {
            let (good, _) = server(|_| Some(GOOD)).await;
            let start = Instant::now();
            // For broadcasts: the kernel refuses to send there.
            assert_eq!(asking(&["255.255.255.255:53".parse().unwrap(), good]).await, Ok(NONE));
            assert!(start.elapsed() < Duration::from_millis(90), "{:?}", start.elapsed());
        });
    }

    #[test]
    fn one_that_is_not_there_over_tcp_leaves_it_to_the_next() {
        local(async {
            let (truncating, _) = server(|_| Some(TRUNCATED)).await;
            let (good, _) = server(|_| Some(GOOD)).await;
            assert_eq!(asking(&[truncating, good]).await, Ok(NONE));
        });
    }

    #[test]
    fn what_is_too_long_for_udp_is_asked_for_over_tcp() {
        local(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let socket = UdpSocket::bind(address).await.unwrap();
            tokio::task::spawn_local(async move {
                let mut block = [0; MAX_UDP];
                let (length, from) = socket.recv_from(&mut block).await.unwrap();
                socket
                    .send_to(&answer(&block[..length], TRUNCATED), from)
                    .await
                    .unwrap();
                let (mut stream, _) = listener.accept().await.unwrap();
                let length = stream.read_u16().await.unwrap();
                let mut asked = vec![0; length.into()];
                stream.read_exact(&mut asked).await.unwrap();
                stream.write_u16(length).await.unwrap();
                stream.write_all(&answer(&asked, GOOD)).await.unwrap();
            });
            assert_eq!(asking(&[address]).await, Ok(NONE));
        });
    }
}
