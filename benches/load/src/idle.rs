//! Connections that were used once and then do nothing, until standard input ends.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::Failure;
use crate::message::{Framing, Messages};
use crate::options::Options;

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let messages = Messages::new(options.size, Framing::None)?;
    let address = options.to_ip()?;
    let mut answer = vec![0; options.size];
    let mut connections = Vec::with_capacity(options.connections);
    for number in 0..options.connections {
        let messages = messages.of(number);
        let mut connection = TcpStream::connect(address)?;
        connection.set_read_timeout(Some(crate::report::PATIENCE))?;
        connection.write_all(messages.current())?;
        connection.read_exact(&mut answer)?;
        if answer != messages.current() {
            return Err("what came back is not what was sent".into());
        }
        connections.push(connection);
    }
    println!("{{\"connections\": {}}}", connections.len());
    crate::serve::until_standard_input_ends()
}
