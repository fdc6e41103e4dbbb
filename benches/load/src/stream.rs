//! A connection that never blocks: TCP, a unix socket, or TLS on TCP.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustls::{ClientConnection, StreamOwned};

use crate::Failure;
use crate::options::{Address, Options};
use crate::tls::Tls;

#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Connects `options.connections` times to the server.
    pub(crate) fn connect_all(options: &Options) -> Result<Vec<Self>, Failure> {
        let tls = options.authority.as_deref().map(Tls::trusting).transpose()?;
        let to = options.to()?;
        (0..options.connections).map(|_| Self::connect(to, tls.as_ref())).collect()
    }

    fn connect(to: &Address, tls: Option<&Tls>) -> Result<Self, Failure> {
        let stream = match (to, tls) {
            (Address::Unix(path), _) => Self::Unix(UnixStream::connect(path)?),
            (Address::Ip(address), None) => Self::Tcp(TcpStream::connect(address)?),
            (Address::Ip(address), Some(tls)) => {
                Self::Tls(Box::new(tls.handshake(TcpStream::connect(address)?)?))
            }
        };
        match &stream {
            Self::Unix(socket) => socket.set_nonblocking(true)?,
            Self::Tcp(socket) => {
                socket.set_nodelay(true)?;
                socket.set_nonblocking(true)?;
            }
            Self::Tls(tls) => {
                tls.sock.set_nodelay(true)?;
                tls.sock.set_nonblocking(true)?;
            }
        }
        Ok(stream)
    }

    /// Whether bytes that were taken by [`Write::write`] wait for room in the socket.
    pub(crate) fn holds_back(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.conn.wants_write())
    }

    /// Whether there may be bytes to read of which epoll knows nothing.
    pub(crate) fn reads_ahead(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
            Self::Tls(tls) => tls.sock.as_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(buffer),
            Self::Unix(socket) => socket.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(bytes),
            Self::Unix(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Ok(()),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// Whether an error only means that the socket has nothing to give, or no room, just now.
pub(crate) fn is_not_yet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
