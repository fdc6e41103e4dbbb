//! Listening TCP sockets.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures_lite::Stream;
use rondel_engine::Direction;
use slab::Slab;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::source::Source;
use super::{Address, TcpStream};

/// How many connections may wait to be accepted; the system's own limit (`net.core.somaxconn`)
/// applies besides.
const BACKLOG: i32 = 1024;

/// A socket that accepts TCP connections. See [`TcpStream`] for an example.
pub struct TcpListener {
    source: Source<std::net::TcpListener>,
    /// Any number of tasks may accept at once; all are woken, and the fastest wins.
    acceptors: Arc<Acceptors>,
}

impl TcpListener {
    /// Listens at `address`; at the first that can be had, if it is a name that stands for
    /// several. Port 0 has the system choose one. A server that was just stopped can be started
    /// again (`SO_REUSEADDR`), as in asyncio.
    ///
    /// # Errors
    /// Those of `bind(2)` and `listen(2)`: most of all `AddrInUse`.
    pub async fn bind(address: impl Address) -> io::Result<Self> {
        let mut failed = None;
        for address in address.resolve().await? {
            match Self::listen(address) {
                Ok(listener) => return Ok(listener),
                Err(error) => failed = Some(error),
            }
        }
        let nowhere = || io::Error::new(io::ErrorKind::InvalidInput, "no address to bind to");
        Err(failed.unwrap_or_else(nowhere))
    }

    fn listen(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&SockAddr::from(address))?;
        socket.listen(BACKLOG)?;
        Self::from_std(socket.into())
    }

    /// A listening socket that was made elsewhere, for instance handed over by a supervisor.
    ///
    /// # Errors
    /// If the socket cannot be made non-blocking.
    pub fn from_std(socket: std::net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { source: Source::new(socket), acceptors: Arc::default() })
    }

    /// The next connection, and the address of its other end.
    ///
    /// # Errors
    /// Those of `accept(2)`, in particular when the process is out of descriptors: the connection
    /// then goes on waiting. One that was given up while it waited is none.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let mut acceptor = Acceptor { listener: self, key: None };
        poll_fn(|cx| acceptor.poll(cx)).await
    }

    /// The connections as they come, without an end; an error is one of [`accept`](Self::accept).
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { acceptor: Acceptor { listener: self, key: None } }
    }

    /// The address at which it listens.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.get().local_addr()
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.get().as_fd()
    }
}

impl AsRawFd for TcpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.source.get().as_raw_fd()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.get().fmt(f)
    }
}

/// The stream of [`TcpListener::incoming`].
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Incoming<'a> {
    acceptor: Acceptor<'a>,
}

impl Stream for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.acceptor.poll(cx).map(|accepted| Some(accepted.map(|(stream, _)| stream)))
    }
}

/// Those who wait for a connection.
#[derive(Debug, Default)]
struct Acceptors(Mutex<Slab<Waker>>);

impl Acceptors {
    fn lock(&self) -> MutexGuard<'_, Slab<Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Acceptors {
    fn wake(self: Arc<Self>) {
        let waiting: Vec<Waker> = self.lock().iter().map(|(_, waker)| waker.clone()).collect();
        for waker in waiting {
            waker.wake();
        }
    }
}

/// One of those who accept, and its place among those who wait.
#[derive(Debug)]
struct Acceptor<'a> {
    listener: &'a TcpListener,
    key: Option<usize>,
}

impl Acceptor<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let listener = self.listener;
        // In the list before the attempt, so that no wake-up passes unheard.
        self.queue(cx.waker());
        let everybody = Waker::from(Arc::clone(&listener.acceptors));
        let mut budgeted = Context::from_waker(&everybody);
        let polled = listener.source.poll_io(Direction::Read, &mut budgeted, |listener| {
            match listener.accept() {
                // Gone before it was accepted: the next one, please.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {
                    Err(io::ErrorKind::Interrupted.into())
                }
                done => done,
            }
        });
        polled.map(|accepted| {
            self.leave();
            let (socket, address) = accepted?;
            // Accepted sockets do not inherit this from the listener.
            socket.set_nonblocking(true)?;
            Ok((TcpStream::from_nonblocking(socket)?, address))
        })
    }

    fn queue(&mut self, waker: &Waker) {
        let mut waiting = self.listener.acceptors.lock();
        match self.key.and_then(|key| waiting.get_mut(key)) {
            Some(known) => known.clone_from(waker),
            None => self.key = Some(waiting.insert(waker.clone())),
        }
    }

    fn leave(&mut self) {
        let left = self.key.take().and_then(|key| self.listener.acceptors.lock().try_remove(key));
        drop(left);
    }
}

impl Drop for Acceptor<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}
