//! Connected TCP sockets.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use rondel_engine::Direction;
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::Address;
use super::source::Source;

/// A TCP connection, to be read and written through the [`futures-io`](futures_io) traits.
///
/// Clones are the same connection, so that one task can read and another write; so are references,
/// which can be read and written too. One task at a time can wait for each. The connection is
/// closed when the last clone is dropped. Small writes are sent at once (`TCP_NODELAY`), as
/// asyncio does.
///
/// ```
/// use rondel::io::{AsyncReadExt, AsyncWriteExt};
/// use rondel::net::{TcpListener, TcpStream};
///
/// # rondel::run(async {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let mut client = TcpStream::connect(listener.local_addr()?).await?;
/// let (mut server, _) = listener.accept().await?;
///
/// client.write_all(b"hello").await?;
/// client.close().await?; // no more to say; can still listen
/// let mut heard = String::new();
/// server.read_to_string(&mut heard).await?;
/// assert_eq!(heard, "hello");
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct TcpStream {
    source: Rc<Source<std::net::TcpStream>>,
}

impl TcpStream {
    /// Connects to `address`, whose name is resolved in a thread. Each of the addresses that a
    /// name stands for is tried in turn, until one answers.
    ///
    /// There is no limit to how long that takes but the system's;
    /// [`timeout`](crate::timeout) sets one.
    ///
    /// # Errors
    /// If there is one address, or all fail alike, the error of `connect(2)`; otherwise one that
    /// lists them all.
    pub async fn connect(address: impl Address) -> io::Result<Self> {
        let mut errors: Vec<io::Error> = Vec::new();
        for address in address.resolve().await? {
            match Self::connect_to(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => errors.push(error),
            }
        }
        let alike = |error: &io::Error| error.to_string() == errors[0].to_string();
        if !errors.is_empty() && !errors.iter().all(alike) {
            let all: Vec<_> = errors.iter().map(ToString::to_string).collect();
            let text = format!("Multiple exceptions: {}", all.join(", "));
            return Err(io::Error::new(errors[0].kind(), text));
        }
        let nowhere = || io::Error::new(io::ErrorKind::InvalidInput, "no address to connect to");
        Err(errors.into_iter().next().unwrap_or_else(nowhere))
    }

    async fn connect_to(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        match socket.connect(&SockAddr::from(address)) {
            Ok(()) => return Self::from_nonblocking(socket.into()),
            // EINTR, too, leaves the attempt going (connect(2)).
            Err(error)
                if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error())
                    || matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
            Err(error) => return Err(error),
        }
        let stream = Self::from_nonblocking(socket.into())?;
        poll_fn(|cx| {
            stream.source.poll_io(Direction::Write, cx, |socket| {
                if let Some(error) = socket.take_error()? {
                    return Err(error);
                }
                match socket.peer_addr() {
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                        Err(io::ErrorKind::WouldBlock.into())
                    }
                    done => done,
                }
            })
        })
        .await?;
        Ok(stream)
    }

    /// A connection that was made elsewhere, for instance in another thread.
    ///
    /// # Errors
    /// If the socket cannot be made non-blocking.
    pub fn from_std(socket: std::net::TcpStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Self::from_nonblocking(socket)
    }

    pub(super) fn from_nonblocking(socket: std::net::TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        Ok(Self { source: Rc::new(Source::new(socket)) })
    }

    /// The connection as a blocking socket, for use elsewhere.
    ///
    /// # Errors
    /// If there are clones and no descriptor is left for a copy of it; then this clone is closed.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        let socket = match Rc::try_unwrap(self.source) {
            Ok(source) => source.into_inner(),
            Err(shared) => shared.get().try_clone()?,
        };
        socket.set_nonblocking(false)?;
        Ok(socket)
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// `NotConnected` when the other end has reset the connection.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.source.get().peer_addr()
    }

    /// The address of this end.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.get().local_addr()
    }

    /// Whether small writes are sent at once.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.source.get().nodelay()
    }

    /// Sends small writes at once, or gathers them (Nagle's algorithm).
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.source.get().set_nodelay(nodelay)
    }

    /// Ends one or both directions of the connection at once; what was written before is still
    /// sent. [`close`](futures_lite::AsyncWriteExt::close) ends writing and is the same as
    /// `Shutdown::Write`.
    ///
    /// # Errors
    /// `NotConnected` when the other end is gone.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.source.get().shutdown(how)
    }

    /// Receives what has come without taking it; 0 at the end of the stream.
    ///
    /// # Errors
    /// Those of `recv(2)`.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.source.poll_io(Direction::Read, cx, |socket| socket.peek(buf))).await
    }
}

impl AsyncRead for &TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.source.poll_io(Direction::Read, cx, |mut socket| socket.read(buf))
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.source.poll_io(Direction::Read, cx, |mut socket| socket.read_vectored(bufs))
    }
}

impl AsyncWrite for &TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.source.poll_io(Direction::Write, cx, |mut socket| socket.write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Not the standard library's, which is writev(2) and may raise SIGPIPE.
        self.source
            .poll_io(Direction::Write, cx, |socket| SockRef::from(socket).send_vectored(bufs))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.shutdown(Shutdown::Write) {
            // The other end was faster: closed is what was asked for.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            done => done,
        })
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_read(cx, buf)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_read_vectored(cx, bufs)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_close(cx)
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.get().as_fd()
    }
}

impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.source.get().as_raw_fd()
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.get().fmt(f)
    }
}
