//! Connections that come, ask once, and go.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Instant;

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use crate::Failure;
use crate::message::{Framing, Messages};
use crate::options::Options;
use crate::poller::{Interest, Poller};
use crate::report::Report;
use crate::stream::is_not_yet;

/// Clients come from so many addresses, since a port stays taken for a minute after its use.
const SOURCES: u32 = 200;

/// One client after the other, all in one place.
#[derive(Debug)]
struct Place {
    socket: TcpStream,
    asked: bool,
    received: usize,
}

impl Place {
    fn connect(to: SocketAddr, number: u32) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        let source = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + 1 + number % SOURCES);
        socket.bind(&SocketAddr::from((source, 0)).into())?;
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
            done => done?,
        }
        Ok(Self { socket: socket.into(), asked: false, received: 0 })
    }

    /// Asks, or takes the answer; returns whether that is complete.
    fn proceed(&mut self, message: &[u8], buffer: &mut [u8]) -> Result<bool, Failure> {
        if !self.asked {
            // It fails if the connection was refused.
            if self.socket.write(message)? < message.len() {
                return Err("a new connection has no room for the message".into());
            }
            self.asked = true;
            return Ok(false);
        }
        match self.socket.read(buffer) {
            Ok(0) => Err("the server closed a connection".into()),
            Ok(count) => {
                if message.get(self.received..self.received + count) != Some(&buffer[..count]) {
                    return Err("what came back is not what was sent".into());
                }
                self.received += count;
                Ok(self.received == message.len())
            }
            Err(error) if is_not_yet(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut poller = Poller::new()?;
    let mut messages = Messages::new(options.size, Framing::None)?;
    let address = options.to_ip()?;
    let mut buffer = vec![0; options.size + 1];
    let mut places = Vec::with_capacity(options.connections);
    let mut number = 0;
    for key in 0..options.connections {
        places.push(Place::connect(address, number)?);
        poller.add(&places[key].socket, key, Interest::Write)?;
        number += 1;
    }
    // All clients ask the same; the next one something else.
    let message = messages.current().to_vec();
    messages.advance();
    let mut report = Report::new(options);
    loop {
        let now = Instant::now();
        if report.is_over(now)? {
            report.print(now);
            return Ok(());
        }
        poller.wait(Some(report.patience(now)))?;
        for event in 0..poller.len() {
            let key = poller.event(event).key;
            let place = &mut places[key];
            let asked = place.asked;
            if place.proceed(&message, &mut buffer)? {
                report.count(Instant::now());
                // Closes the one before.
                *place = Place::connect(address, number)?;
                poller.add(&place.socket, key, Interest::Write)?;
                number = number.wrapping_add(1);
            } else if !asked && place.asked {
                poller.modify(&place.socket, key, Interest::Read)?;
            }
        }
    }
}
