//! HTTP/1.1 requests on connections that are kept alive, one on its way on each.

use std::io::{Read, Write};
use std::time::Instant;

use crate::Failure;
use crate::options::{Address, Options};
use crate::poller::{Interest, Poller};
use crate::report::Report;
use crate::stream::{Stream, is_not_yet};

/// What every server of the benchmark answers.
const BODY: &[u8] = b"Hello, World!";

const LONGEST_RESPONSE: usize = 16 * 1024;

/// A connection, and what it has received of the response.
#[derive(Debug)]
struct Client {
    stream: Stream,
    response: Vec<u8>,
}

impl Client {
    fn ask(&mut self, request: &[u8]) -> Result<(), Failure> {
        self.response.clear();
        // Where nothing else is on its way, so few bytes always find room.
        self.stream.write_all(request)?;
        Ok(())
    }

    /// Takes what has come; returns whether the response is complete.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<bool, Failure> {
        match self.stream.read(buffer) {
            Ok(0) => Err("the server closed a connection".into()),
            Ok(count) => {
                self.response.extend_from_slice(&buffer[..count]);
                is_complete(&self.response)
            }
            Err(error) if is_not_yet(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a response is all there. Fails if it is not the one that was asked for.
fn is_complete(response: &[u8]) -> Result<bool, Failure> {
    let Some(head) = response.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if response.len() > LONGEST_RESPONSE {
            Err("a response has no end".into())
        } else {
            Ok(false)
        };
    };
    let (head, body) = (&response[..head], &response[head + 4..]);
    if !head.starts_with(b"HTTP/1.1 200 ") {
        return Err(format!("the answer is {}", first_line(head)).into());
    }
    if content_length(head)? != BODY.len() || !BODY.starts_with(body) {
        return Err("the body is not what was asked for".into());
    }
    Ok(body.len() == BODY.len())
}

fn first_line(head: &[u8]) -> String {
    String::from_utf8_lossy(head).lines().next().unwrap_or_default().to_owned()
}

fn content_length(head: &[u8]) -> Result<usize, Failure> {
    const NAME: &[u8] = b"content-length:";
    for line in head.split(|byte| *byte == b'\n') {
        if line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME) {
            return Ok(std::str::from_utf8(&line[NAME.len()..])?.trim().parse()?);
        }
    }
    Err("the response lacks a content-length".into())
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let Address::Ip(address) = options.to()? else {
        return Err("--to must be an IP address and a port".into());
    };
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nUser-Agent: rondel-load\r\nAccept: */*\r\n\r\n"
    );
    let mut poller = Poller::new()?;
    let mut clients = Vec::with_capacity(options.connections);
    for (key, stream) in Stream::connect_all(options)?.into_iter().enumerate() {
        poller.add(&stream, key, Interest::Read)?;
        clients.push(Client { stream, response: Vec::with_capacity(1024) });
    }
    let mut buffer = vec![0; LONGEST_RESPONSE];
    let mut report = Report::new(options);
    for client in &mut clients {
        client.ask(request.as_bytes())?;
    }
    loop {
        let now = Instant::now();
        if report.is_over(now)? {
            report.print(now);
            return Ok(());
        }
        poller.wait(Some(report.patience(now)))?;
        for number in 0..poller.len() {
            let client = &mut clients[poller.event(number).key];
            if client.receive(&mut buffer)? {
                report.count(Instant::now());
                client.ask(request.as_bytes())?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\n";

    #[test]
    fn a_response_is_complete_with_its_last_byte() {
        let whole = format!("{HEAD}Hello, World!");
        for end in 0..whole.len() {
            assert!(!is_complete(&whole.as_bytes()[..end]).unwrap());
        }
        assert!(is_complete(whole.as_bytes()).unwrap());
    }

    #[test]
    fn a_wrong_status_body_or_length_is_an_error() {
        assert!(is_complete(b"HTTP/1.1 500 No\r\nContent-Length: 13\r\n\r\n").is_err());
        assert!(is_complete(format!("{HEAD}Hello, Wxrld!").as_bytes()).is_err());
        assert!(is_complete(format!("{HEAD}Hello, World!?").as_bytes()).is_err());
        assert!(is_complete(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(is_complete(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nHello").is_err());
    }
}
