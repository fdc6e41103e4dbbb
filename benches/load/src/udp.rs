//! Datagrams: each socket has one on its way.

use std::net::UdpSocket;
use std::time::Instant;

use crate::Failure;
use crate::message::{Framing, Messages};
use crate::options::Options;
use crate::poller::{Interest, Poller};
use crate::report::Report;
use crate::stream::is_not_yet;

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut poller = Poller::new()?;
    let messages = Messages::new(options.size, Framing::None)?;
    let address = options.to_ip()?;
    let mut buffer = vec![0; options.size + 1];
    let mut clients = Vec::with_capacity(options.connections);
    for key in 0..options.connections {
        let socket = UdpSocket::bind((address.ip(), 0))?;
        socket.connect(address)?;
        socket.set_nonblocking(true)?;
        poller.add(&socket, key, Interest::Read)?;
        clients.push((socket, messages.of(key)));
    }
    let mut report = Report::new(options);
    for (socket, messages) in &clients {
        socket.send(messages.current())?;
    }
    loop {
        let now = Instant::now();
        if report.is_over(now)? {
            report.print(now);
            return Ok(());
        }
        // A datagram that is lost is not sent again: with all of them lost nothing is answered,
        // which the report takes for an error.
        poller.wait(Some(report.patience(now)))?;
        for number in 0..poller.len() {
            let (socket, messages) = &mut clients[poller.event(number).key];
            match socket.recv(&mut buffer) {
                Ok(count) if buffer[..count] == *messages.current() => {
                    report.count(Instant::now());
                    messages.advance();
                    socket.send(messages.current())?;
                }
                Ok(_) => return Err("what came back is not what was sent".into()),
                Err(error) if is_not_yet(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
