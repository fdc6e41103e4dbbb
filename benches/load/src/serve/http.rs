//! Answers each HTTP request with a body of `--size` bytes, for clients that download it.

use std::rc::Rc;

use crate::Failure;
use crate::options::Options;
use crate::serve::{self, Service};

const END: &[u8] = b"\r\n\r\n";

/// One connection: how much of the end of a request has just been seen.
#[derive(Debug)]
struct Download {
    response: Rc<[u8]>,
    matched: usize,
    answers: Vec<u8>,
}

impl Service for Download {
    fn answer<'a>(&'a mut self, received: &'a [u8]) -> &'a [u8] {
        self.answers.clear();
        for byte in received {
            self.matched = match *byte {
                byte if byte == END[self.matched] => self.matched + 1,
                b'\r' => 1,
                _ => 0,
            };
            if self.matched == END.len() {
                self.matched = 0;
                self.answers.extend_from_slice(&self.response);
            }
        }
        &self.answers
    }
}

fn response(size: usize) -> Rc<[u8]> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {size}\r\n\r\n"
    );
    head.bytes().chain((b'a'..=b'z').cycle().take(size)).collect()
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let response = response(options.size);
    serve::run(options, || Download {
        response: Rc::clone(&response),
        matched: 0,
        answers: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_answered_wherever_it_is_cut() {
        let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let whole = response(5);
        assert!(whole.ends_with(b"Content-Length: 5\r\n\r\nabcde"));
        for cut in 0..request.len() {
            let mut service =
                Download { response: Rc::clone(&whole), matched: 0, answers: Vec::new() };
            assert_eq!(service.answer(&request[..cut]), b"");
            assert_eq!(service.answer(&request[cut..]), &*whole);
            assert_eq!(service.answer(&request.repeat(2)), whole.repeat(2));
        }
    }
}
