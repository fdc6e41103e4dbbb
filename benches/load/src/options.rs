//! The command line: `--name value` pairs, all of them optional here and checked where used.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::Failure;
use crate::message::Framing;

/// Where a server listens.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    Ip(SocketAddr),
    Unix(PathBuf),
}

/// What all commands are told; each uses what it needs.
#[derive(Debug)]
pub(crate) struct Options {
    /// `127.0.0.1:4711` or `unix:/path`.
    pub(crate) to: Option<Address>,
    /// Bytes of a message, or of a body.
    pub(crate) size: usize,
    pub(crate) connections: usize,
    pub(crate) framing: Framing,
    /// Time during which nothing is counted.
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    /// Messages a second, of `paced`.
    pub(crate) rate: f64,
    /// The certificate, in DER, that a TLS server's is signed by.
    pub(crate) authority: Option<PathBuf>,
    /// The server's process, whose CPU time is to be told.
    pub(crate) server: Option<u32>,
    /// The CPU to run on.
    pub(crate) cpu: Option<usize>,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut options = Self {
            to: None,
            size: 64,
            connections: 1,
            framing: Framing::None,
            warm_up: Duration::from_millis(100),
            duration: Duration::from_secs(1),
            rate: 1000.0,
            authority: None,
            server: None,
            cpu: None,
        };
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} lacks a value"))?;
            options.set(&name, &value).map_err(|error| format!("{name} {value}: {error}"))?;
        }
        if let Some(cpu) = options.cpu {
            let mut cpus = rustix::thread::CpuSet::new();
            cpus.set(cpu);
            rustix::thread::sched_setaffinity(None, &cpus)?;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        match name {
            "--to" => {
                self.to = Some(match value.strip_prefix("unix:") {
                    Some(path) => Address::Unix(path.into()),
                    None => Address::Ip(value.parse()?),
                });
            }
            "--size" => self.size = value.parse()?,
            "--connections" => self.connections = value.parse()?,
            "--framing" => self.framing = value.parse()?,
            "--warm-up" => self.warm_up = seconds(value)?,
            "--duration" => self.duration = seconds(value)?,
            "--rate" => self.rate = value.parse()?,
            "--authority" => self.authority = Some(value.into()),
            "--server" => self.server = Some(value.parse()?),
            "--cpu" => self.cpu = Some(value.parse()?),
            _ => return Err("no such option".into()),
        }
        Ok(())
    }

    /// Where the server is.
    pub(crate) fn to(&self) -> Result<&Address, Failure> {
        self.to.as_ref().ok_or_else(|| "--to is missing".into())
    }

    /// Where the server is, for what only IP has.
    pub(crate) fn to_ip(&self) -> Result<SocketAddr, Failure> {
        match self.to()? {
            Address::Ip(address) => Ok(*address),
            Address::Unix(_) => Err("--to must be an IP address and a port".into()),
        }
    }
}

fn seconds(value: &str) -> Result<Duration, Failure> {
    Ok(Duration::try_from_secs_f64(value.parse()?)?)
}
