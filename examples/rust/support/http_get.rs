//! The smallest HTTP client, twice: as a blocking function and as an async one.
//!
//! Both do the same on the same kind of socket; they differ in who waits. In `get_blocking` the
//! thread waits. In `get` only the task waits, and the loop runs others meanwhile: that is what
//! each `await` says.

use std::io::{self, Read, Write};

use rondel::io::{AsyncReadExt, AsyncWriteExt};
use rondel::net::TcpStream;

/// The body at `url`; the calling thread waits.
pub(crate) fn get_blocking(url: &str) -> io::Result<Vec<u8>> {
    let (host, path) = split(url)?;
    let mut connection = std::net::TcpStream::connect(host)?;
    connection.write_all(request(host, path).as_bytes())?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    body(url, &answer)
}

/// The body at `url`; the loop goes on meanwhile.
pub(crate) async fn get(url: &str) -> io::Result<Vec<u8>> {
    let (host, path) = split(url)?;
    let mut connection = TcpStream::connect(host).await?;
    connection.write_all(request(host, path).as_bytes()).await?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await?;
    body(url, &answer)
}

/// The host with its port, and the path.
pub(crate) fn split(url: &str) -> io::Result<(&str, &str)> {
    let rest = url.strip_prefix("http://").and_then(|rest| Some((rest, rest.find('/')?)));
    let (rest, slash) = rest.ok_or_else(|| io::Error::other(format!("not an HTTP URL: {url}")))?;
    Ok(rest.split_at(slash))
}

fn request(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

/// The body of a whole answer.
fn body(url: &str, answer: &[u8]) -> io::Result<Vec<u8>> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.ok_or(io::ErrorKind::UnexpectedEof)? + 4);
    let head = String::from_utf8_lossy(head);
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        return Err(io::Error::other(format!("{url}: HTTP status {status}")));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok());
    if length != Some(body.len()) {
        return Err(io::Error::other(format!("{url}: the connection ended too early")));
    }
    Ok(body.to_vec())
}
