//! One question to the name servers: over UDP, and over TCP when the answer is too long for that. RFC 1035, section 4.2.

use std::future::{Future as _, poll_fn};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout, timeout_at};

use super::message::{Reply, understand};

/// The first time that a question is sent again; then twice as long each time. A lost packet is more frequent than a slow server.
const RESEND: Duration = Duration::from_secs(1);
/// The largest answer over UDP to a question that does not offer more.
const MAX_UDP: usize = 512;

/// The name servers, in the order in which they are asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Servers<'s> {
    pub(super) addresses: &'s [SocketAddr],
    /// The longest time before a question is sent again.
    pub(super) timeout: Duration,
    /// Together with `timeout`, how long an answer is waited for.
    pub(super) attempts: u32,
}

/// A server that has been asked. It may answer for as long as anybody may: what comes late is used.
struct Asked {
    server: SocketAddr,
    socket: UdpSocket,
    failed: bool,
}

/// The first answer that settles `question`, or why there is none.
pub(super) async fn ask(servers: Servers<'_>, question: &[u8]) -> Result<Reply, String> {
    let deadline = Instant::now() + servers.timeout * servers.attempts;
    let mut asked: Vec<Asked> = Vec::new();
    let mut resend = RESEND.min(servers.timeout);
    let mut turn = 0;
    let mut why = format!("no answer within {:?}", servers.timeout * servers.attempts);
    loop {
        let server = servers.addresses[turn % servers.addresses.len()];
        turn += 1;
        if let Err(error) = send(&mut asked, server, question).await {
            why = format!("{server}: {error}");
        }
        let until = deadline.min(Instant::now() + resend);
        resend = (resend * 2).min(servers.timeout);
        loop {
            match timeout_at(until, receive(&asked, question)).await {
                Ok((_, Ok(reply @ (Reply::Addresses(..) | Reply::NoSuchName)))) => return Ok(reply),
                Ok((at, Ok(Reply::Truncated))) => {
                    let server = asked[at].server;
                    let left = deadline.saturating_duration_since(Instant::now());
                    return match timeout(left, over_tcp(server, question)).await {
                        Ok(answer) => answer.map_err(|error| format!("{server} over TCP: {error}")),
                        Err(_) => Err(format!("{server} over TCP: no answer in time")),
                    };
                }
                Ok((at, Ok(Reply::Failed(reason)))) => {
                    why = format!("{}: {reason}", asked[at].server);
                    asked[at].failed = true;
                }
                Ok((at, Err(error))) => {
                    why = format!("{}: {error}", asked[at].server);
                    asked[at].failed = true;
                }
                Err(_) => break,
            }
            if asked.iter().all(|asked| asked.failed) {
                // Nobody is left to answer: the next one is asked at once.
                break;
            }
        }
        let all_failed = asked.len() == servers.addresses.len() && asked.iter().all(|asked| asked.failed);
        if all_failed || Instant::now() >= deadline {
            return Err(why);
        }
    }
}

/// Sends the question to `server`, from a port of its own: two questions at a time from one may be lost in connection tracking.
async fn send(asked: &mut Vec<Asked>, server: SocketAddr, question: &[u8]) -> io::Result<()> {
    let at = match asked.iter().position(|asked| asked.server == server) {
        Some(at) => at,
        None => {
            let any: SocketAddr = if server.is_ipv4() {
                (Ipv4Addr::UNSPECIFIED, 0).into()
            } else {
                (Ipv6Addr::UNSPECIFIED, 0).into()
            };
            let socket = UdpSocket::bind(any).await?;
            asked.push(Asked {
                server,
                socket,
                failed: false,
            });
            asked.len() - 1
        }
    };
    let asked = &mut asked[at];
    let sent = async {
        // Connected: only the server can answer.
        asked.socket.connect(server).await?;
        asked.socket.send(question).await
    };
    let sent = sent.await;
    asked.failed = sent.is_err();
    sent.map(drop)
}

/// The next answer of any server that was asked.
async fn receive(asked: &[Asked], question: &[u8]) -> (usize, io::Result<Reply>) {
    let open = asked.iter().enumerate().filter(|(_, asked)| !asked.failed);
    let mut answers: Vec<_> = open
        .map(|(at, asked)| (at, Box::pin(receive_one(&asked.socket, question))))
        .collect();
    poll_fn(|context| {
        for (at, answer) in &mut answers {
            if let Poll::Ready(reply) = answer.as_mut().poll(context) {
                return Poll::Ready((*at, reply));
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

async fn over_tcp(server: SocketAddr, question: &[u8]) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(server).await?;
    let mut message = u16::try_from(question.len())
        .map_err(io::Error::other)?
        .to_be_bytes()
        .to_vec();
    message.extend_from_slice(question);
    stream.write_all(&message).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await?;
    match understand(question, &answer) {
        Some(reply @ (Reply::Addresses(..) | Reply::NoSuchName)) => Ok(reply),
        Some(Reply::Failed(why)) => Err(io::Error::other(why)),
        Some(Reply::Truncated) | None => Err(io::Error::other("it is no answer to what was asked")),
    }
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

    async fn asking(addresses: &[SocketAddr]) -> Result<Reply, String> {
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
                Err(format!("{failing}: it failed (SERVFAIL)"))
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
            assert_eq!(asking(&[address]).await, Err("no answer within 300ms".into()));
            assert_eq!(seen.get(), 3);
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
