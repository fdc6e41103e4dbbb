//! Servers that show what the kernel allows: one epoll, one `recv` an event, answers sent at once.

pub(crate) mod echo;
pub(crate) mod http;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::net::{SocketFlags, accept_with};
use socket2::SockRef;

use crate::Failure;
use crate::options::{Address, Options};
use crate::poller::{Event, Interest, Poller};
use crate::stream::{Stream, is_not_yet};

/// What a server does with what one connection receives.
pub(crate) trait Service {
    /// What is to be sent now that this has been received.
    fn answer<'a>(&'a mut self, received: &'a [u8]) -> &'a [u8];
}

/// Bytes taken from a socket at once, as asyncio's transports do.
const BUFFER: usize = 256 * 1024;

const BACKLOG: i32 = 4096;

const STANDARD_INPUT: usize = usize::MAX;
const LISTENER: usize = usize::MAX - 1;

/// Blocks until whoever started this process wants it to end, or has ended.
pub(crate) fn until_standard_input_ends() -> Result<(), Failure> {
    let mut buffer = [0; 64];
    while io::stdin().read(&mut buffer)? > 0 {}
    Ok(())
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Listens where the options say, or on a port that is free, and tells where that is.
    fn open(options: &Options) -> Result<Self, Failure> {
        let listener = match &options.to {
            Some(Address::Unix(path)) => Self::unix(path)?,
            Some(Address::Ip(address)) => Self::tcp(*address)?,
            None => Self::tcp((Ipv4Addr::LOCALHOST, 0).into())?,
        };
        let socket = SockRef::from(&listener);
        socket.set_nonblocking(true)?;
        // More than the standard library asks for: all clients connect at once.
        socket.listen(BACKLOG)?;
        Ok(listener)
    }

    fn tcp(address: SocketAddr) -> Result<Self, Failure> {
        let listener = TcpListener::bind(address)?;
        // What is accepted inherits it.
        SockRef::from(&listener).set_tcp_nodelay(true)?;
        println!("{{\"address\": \"{}\"}}", listener.local_addr()?);
        Ok(Self::Tcp(listener))
    }

    fn unix(path: &Path) -> Result<Self, Failure> {
        let listener = UnixListener::bind(path)?;
        println!("{{\"address\": \"unix:{}\"}}", path.display());
        Ok(Self::Unix(listener))
    }

    /// Accepts a connection, in one system call.
    fn accept(&self) -> io::Result<Stream> {
        let socket = accept_with(self, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
        Ok(match self {
            Self::Tcp(_) => Stream::Tcp(socket.into()),
            Self::Unix(_) => Stream::Unix(socket.into()),
        })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

/// A connection, and what its socket has not taken yet.
#[derive(Debug)]
struct Connection<S> {
    stream: Stream,
    service: S,
    unsent: Vec<u8>,
}

impl<S: Service> Connection<S> {
    /// Does what an event allows; returns what to watch for from now on, None if it is over.
    fn proceed(&mut self, buffer: &mut [u8]) -> io::Result<Option<Interest>> {
        if self.unsent.is_empty() {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Ok(None),
                Ok(count) => count,
                Err(error) if is_not_yet(&error) => return Ok(Some(Interest::Read)),
                Err(error) => return Err(error),
            };
            let answer = self.service.answer(&buffer[..count]);
            let sent = if answer.is_empty() { 0 } else { send(&mut self.stream, answer)? };
            self.unsent.extend_from_slice(&answer[sent..]);
        } else {
            let sent = send(&mut self.stream, &self.unsent)?;
            self.unsent.drain(..sent);
        }
        Ok(Some(if self.unsent.is_empty() { Interest::Read } else { Interest::Write }))
    }
}

/// Sends what the socket takes.
fn send(stream: &mut Stream, bytes: &[u8]) -> io::Result<usize> {
    match stream.write(bytes) {
        Err(error) if is_not_yet(&error) => Ok(0),
        done => done,
    }
}

/// Serves until standard input ends.
pub(crate) fn run<S: Service>(
    options: &Options,
    new_service: impl Fn() -> S,
) -> Result<(), Failure> {
    let listener = Listener::open(options)?;
    let mut poller = Poller::new()?;
    poller.add(&listener, LISTENER, Interest::Read)?;
    poller.add(io::stdin(), STANDARD_INPUT, Interest::Read)?;
    let mut connections: HashMap<usize, (Connection<S>, Interest)> = HashMap::new();
    let mut buffer = vec![0; BUFFER];
    let mut accepted = 0;
    loop {
        poller.wait(None)?;
        for number in 0..poller.len() {
            let Event { key, .. } = poller.event(number);
            if key == STANDARD_INPUT {
                return Ok(());
            }
            if key == LISTENER {
                let stream = listener.accept()?;
                poller.add(&stream, accepted, Interest::Read)?;
                let connection = Connection { stream, service: new_service(), unsent: Vec::new() };
                connections.insert(accepted, (connection, Interest::Read));
                accepted += 1;
                continue;
            }
            let Some((connection, interest)) = connections.get_mut(&key) else { continue };
            match connection.proceed(&mut buffer) {
                Ok(Some(wanted)) if wanted == *interest => {}
                Ok(Some(wanted)) => {
                    poller.modify(&connection.stream, key, wanted)?;
                    *interest = wanted;
                }
                // A client that goes without a word is not the server's fault.
                Ok(None) | Err(_) => drop(connections.remove(&key)),
            }
        }
    }
}
