//! One check of one endpoint: a connection, and what an HTTP server says of itself.

use std::net::SocketAddr;

use httparse::{EMPTY_HEADER, Response, Status};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::config::{Check, Question};
use crate::dial::connect;
use crate::endpoints::Endpoint;
use crate::message::head::MAX_FIELDS;
use crate::policy::health::Said;
use crate::stream::{Buffer, Stream};

/// Of an answer's head, in bytes.
const MAX_HEAD: usize = 16 << 10;

pub(super) async fn ask(endpoint: &Endpoint, check: &Check) -> Said {
    let port = check.port.unwrap_or_else(|| endpoint.address.port());
    let address = SocketAddr::new(endpoint.address.ip(), port);
    let asked = async {
        let mut stream = match connect(address, check.secure.clone(), check.timeout, <_>::default()).await {
            Ok(stream) => stream,
            Err(error) => return Said::Nothing(error.to_string()),
        };
        match &check.question {
            Question::Connect => Said::Fit,
            Question::Get(path) => get(&mut stream, path, &endpoint.target.address.host).await,
        }
    };
    let late = |_| Said::Nothing(format!("no answer within {:?}", check.timeout));
    timeout(check.timeout, asked).await.unwrap_or_else(late)
}

/// A status from 200 to 399 is a yes, as for a kubelet's probe.
async fn get(stream: &mut Stream, path: &str, host: &str) -> Said {
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
        match status(answer.filled()) {
            Ok(Some(200..=399)) => return Said::Fit,
            Ok(Some(status)) => return Said::Unfit(format!("it answers {status}")),
            Ok(None) if answer.filled().len() > MAX_HEAD => return Said::Nothing("its head does not end".into()),
            Ok(None) => {}
            Err(error) => return Said::Nothing(format!("what answers does not speak HTTP: {error}")),
        }
    }
}

/// Once the head is complete.
fn status(head: &[u8]) -> Result<Option<u16>, httparse::Error> {
    let mut headers = [EMPTY_HEADER; MAX_FIELDS];
    let mut response = Response::new(&mut headers);
    match response.parse(head)? {
        Status::Complete(_) => Ok(response.code),
        Status::Partial => Ok(None),
    }
}
