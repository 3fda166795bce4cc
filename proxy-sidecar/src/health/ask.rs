//! One check of one endpoint: a connection, and what an HTTP server says of itself.

use std::net::SocketAddr;

use httparse::{EMPTY_HEADER, Response, Status};
use pod_contract::units::HostPort;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::grpc;
use crate::config::{Check, Question};
use crate::dial::{DialError, connect};
use crate::endpoints::Endpoint;
use crate::message::head::MAX_FIELDS;
use crate::policy::health::Said;
use crate::stream::{Buffer, Stream};

/// Of an answer's head, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// `None` when this process could not ask: that says nothing of the endpoint.
pub(super) async fn ask(endpoint: &Endpoint, check: &Check) -> Option<Said> {
    let port = check.port.unwrap_or_else(|| endpoint.address.port());
    let address = SocketAddr::new(endpoint.address.ip(), port);
    let asked = async {
        let mut stream = match connect(address, check.secure.clone(), check.timeout, <_>::default()).await {
            Ok(stream) => stream,
            Err(error @ (DialError::OutOfFiles(_) | DialError::Own(_))) => {
                tracing::debug!(endpoint = endpoint.label, %error, "cannot ask");
                return None;
            }
            Err(error) => return Some(Said::Nothing(error.to_string())),
        };
        let host = HostPort {
            host: endpoint.target.address.host.clone(),
            port,
        };
        Some(match &check.question {
            Question::Connect => Said::Fit,
            Question::Get(path) => get(&mut stream, path, &host).await,
            Question::Call(service) => {
                let is_secure = check.secure.is_some();
                Box::pin(grpc::check(stream, service, &host.to_string(), is_secure)).await
            }
        })
    };
    let late = |_| Some(Said::Nothing(format!("no answer within {:?}", check.timeout)));
    timeout(check.timeout, asked).await.unwrap_or_else(late)
}

/// A status from 200 to 399 is a yes, as for a kubelet's probe.
async fn get(stream: &mut Stream, path: &str, host: &HostPort) -> Said {
    let (mut reader, mut writer) = stream.split();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {}/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_VERSION")
    );
    let sent = async {
        writer.write_all(request.as_bytes()).await?;
        writer.flush().await
    };
    if let Err(error) = sent.await {
        return Said::Nothing(error.to_string());
    }
    let mut answer = Buffer::new();
    loop {
        match answer.fill(&mut reader).await {
            Ok(0) => return Said::Nothing("it closed the connection".into()),
            Ok(_) => {}
            Err(error) => return Said::Nothing(error.to_string()),
        }
        let mut read = 0;
        loop {
            match status(&answer.filled()[read..]) {
                // On the way to the answer.
                Ok(Some((length, 100 | 102..=199))) => read += length,
                Ok(Some((_, 200..=399))) => return Said::Fit,
                Ok(Some((_, status))) => return Said::Unfit(format!("it answers {status}")),
                Ok(None) if answer.filled().len() > MAX_HEAD => return Said::Nothing("its head does not end".into()),
                Ok(None) => break,
                Err(error) => return Said::Nothing(format!("what answers does not speak HTTP: {error}")),
            }
        }
    }
}

/// The length of a head and its status, once it is complete.
fn status(head: &[u8]) -> Result<Option<(usize, u16)>, httparse::Error> {
    let mut headers = [EMPTY_HEADER; MAX_FIELDS];
    let mut response = Response::new(&mut headers);
    match response.parse(head)? {
        Status::Complete(length) => Ok(response.code.map(|status| (length, status))),
        Status::Partial => Ok(None),
    }
}
