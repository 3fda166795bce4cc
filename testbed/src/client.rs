//! A blocking HTTP/1.1 client for tests and examples.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// A response as it arrived.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Without chunk framing.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// `GET`s `http://address` + `path` on a connection of its own.
pub fn get(address: &str, path: &str) -> io::Result<Response> {
    get_with(address, path, &[])
}

/// Like [`get`], with headers.
pub fn get_with(address: &str, path: &str, headers: &[(&str, &str)]) -> io::Result<Response> {
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    exchange(address, (request + "\r\n").as_bytes())
}

/// Sends raw bytes and reads one response until the connection closes or the response is complete.
pub fn exchange(address: &str, request: &[u8]) -> io::Result<Response> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(request)?;
    read_response(&mut stream)
}

/// Reads one response; without a length its body ends with the connection.
pub fn read_response(stream: &mut TcpStream) -> io::Result<Response> {
    let mut data = Vec::new();
    loop {
        if let Some(response) = parse(&data, false)? {
            return Ok(response);
        }
        let mut block = [0; 16 * 1024];
        match stream.read(&mut block)? {
            0 => return parse(&data, true)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into()),
            count => data.extend_from_slice(&block[..count]),
        }
    }
}

fn parse(data: &[u8], ended: bool) -> io::Result<Option<Response>> {
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut parsed = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = parsed.parse(data).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let status = parsed.code.unwrap_or_default();
    let headers = parsed.headers.iter().map(|h| {
        (
            h.name.to_ascii_lowercase(),
            String::from_utf8_lossy(h.value).into_owned(),
        )
    });
    let mut response = Response {
        status,
        headers: headers.collect(),
        body: Vec::new(),
    };
    let rest = &data[head..];
    if (100..200).contains(&status) && status != 101 {
        return parse(rest, ended);
    }
    if response.header("transfer-encoding").is_some() {
        return Ok(dechunk(rest).map(|body| Response { body, ..response }));
    }
    let length = match response.header("content-length") {
        Some(length) => length.parse().map_err(io::Error::other)?,
        None if matches!(status, 101 | 204 | 304) => 0,
        None if ended => rest.len(),
        None => return Ok(None),
    };
    if rest.len() < length {
        return Ok(None);
    }
    response.body = rest[..length].to_vec();
    Ok(Some(response))
}

/// The body when the last chunk has arrived; trailers are dropped.
fn dechunk(mut data: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = data.windows(2).position(|w| w == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&data[..end]).ok()?.split(';').next()?.trim(), 16).ok()?;
        data = &data[end + 2..];
        if size == 0 {
            return (data.starts_with(b"\r\n") || data.windows(4).any(|w| w == b"\r\n\r\n")).then_some(body);
        }
        body.extend_from_slice(data.get(..size)?);
        data = data.get(size + 2..)?;
    }
}
