//! Connections that send a message, wait for all of it to come back, and send the next one.

use std::io::{Read, Write};
use std::time::Instant;

use crate::Failure;
use crate::message::Messages;
use crate::options::Options;
use crate::poller::{Event, Interest, Poller};
use crate::report::Report;
use crate::stream::{Stream, is_not_yet};

/// As much is read at once as a server writes at most.
pub(crate) const BUFFER: usize = 256 * 1024;

/// One connection, and how much of its message has been sent and has come back.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    messages: Messages,
    key: usize,
    sent: usize,
    received: usize,
    /// Whether it is watched for room to write.
    writing: bool,
}

impl Connection {
    pub(crate) fn new(
        stream: Stream,
        messages: Messages,
        key: usize,
        poller: &Poller,
    ) -> Result<Self, Failure> {
        poller.add(&stream, key, Interest::Read)?;
        // Until a message is begun, all of it counts as sent.
        let sent = messages.current().len();
        Ok(Self { stream, messages, key, sent, received: 0, writing: false })
    }

    /// Begins to send the message whose turn it is.
    pub(crate) fn begin(&mut self, poller: &Poller) -> Result<(), Failure> {
        self.sent = 0;
        self.received = 0;
        self.write(poller)
    }

    fn write(&mut self, poller: &Poller) -> Result<(), Failure> {
        let message = self.messages.current();
        let mut full = false;
        while self.sent < message.len() && !full {
            match self.stream.write(&message[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if is_not_yet(&error) => full = true,
                Err(error) => return Err(error.into()),
            }
        }
        if self.stream.holds_back() {
            match self.stream.flush() {
                Err(error) if !is_not_yet(&error) => return Err(error.into()),
                _ => full |= self.stream.holds_back(),
            }
        }
        if full != self.writing {
            self.writing = full;
            let interest = if full { Interest::Both } else { Interest::Read };
            poller.modify(&self.stream, self.key, interest)?;
        }
        Ok(())
    }

    /// Takes what has come back; returns whether that completes the message.
    fn read(&mut self, buffer: &mut [u8]) -> Result<bool, Failure> {
        let message = self.messages.current();
        loop {
            let awaited = message.len() - self.received;
            // One byte more than awaited, so that a byte too many is seen.
            let room = buffer.len().min(awaited + 1);
            match self.stream.read(&mut buffer[..room]) {
                Ok(0) => return Err("the server closed a connection".into()),
                Ok(count) => {
                    let expected = message.get(self.received..self.received + count);
                    if expected != Some(&buffer[..count]) || self.received + count > self.sent {
                        return Err("what came back is not what was sent".into());
                    }
                    self.received += count;
                    if self.received == message.len() {
                        self.messages.advance();
                        return Ok(true);
                    }
                    if count < room && !self.stream.reads_ahead() {
                        return Ok(false);
                    }
                }
                Err(error) if is_not_yet(&error) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Does what an event allows; returns whether that completes the message.
    pub(crate) fn proceed(
        &mut self,
        event: Event,
        poller: &Poller,
        buffer: &mut [u8],
    ) -> Result<bool, Failure> {
        if self.writing {
            self.write(poller)?;
        }
        if event.readable { self.read(buffer) } else { Ok(false) }
    }
}

/// All connections that the options ask for, watched by the poller.
pub(crate) fn connect(options: &Options, poller: &Poller) -> Result<Vec<Connection>, Failure> {
    let messages = Messages::new(options.size, options.framing)?;
    Stream::connect_all(options)?
        .into_iter()
        .enumerate()
        .map(|(key, stream)| Connection::new(stream, messages.of(key), key, poller))
        .collect()
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut poller = Poller::new()?;
    let mut connections = connect(options, &poller)?;
    let mut buffer = vec![0; BUFFER];
    let mut report = Report::new(options);
    for connection in &mut connections {
        connection.begin(&poller)?;
    }
    loop {
        let now = Instant::now();
        if report.is_over(now)? {
            report.print(now);
            return Ok(());
        }
        poller.wait(Some(report.patience(now)))?;
        for number in 0..poller.len() {
            let event = poller.event(number);
            let connection = &mut connections[event.key];
            if connection.proceed(event, &poller, &mut buffer)? {
                report.count(Instant::now());
                connection.begin(&poller)?;
            }
        }
    }
}
