//! System calls on a descriptor that a transport or an acceptor holds open. The thread stays
//! attached to the interpreter, so none may block: the calls on sockets do not, whatever the mode
//! of the socket; pipes and listening sockets are in non-blocking mode.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::net::{
    RawAddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketAddrAny,
    SocketFlags,
};

/// A descriptor whose owner, a Python socket or file object or an accepted connection that has no
/// such object yet, is kept open by whoever holds this.
///
/// `socket.close()` closes for real only when nobody holds an I/O reference (`_io_refs`, which
/// `makefile()` uses too); the holder has taken one, or has not given the object away. Of a pipe's
/// file object the holder can only hope that nobody closes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldDescriptor(RawFd);

impl HeldDescriptor {
    /// For a descriptor that stays open until the holder lets go of the object that owns it.
    pub(crate) const fn new(fd: RawFd) -> Self {
        Self(fd)
    }

    pub(crate) const fn number(self) -> RawFd {
        self.0
    }

    fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the number came from an open socket, connection or file, so it is not -1. The holder
        // makes these calls only until it lets go of the object (a transport whose connection is
        // lost, an acceptor that is no longer watched, make none), and until then the I/O
        // reference keeps a socket open; should somebody close a pipe's object, or the bare number
        // behind Python's back, the kernel answers EBADF, or the calls act on what has taken its
        // place, as they would for any Python code that held the number.
        unsafe { BorrowedFd::borrow_raw(self.0) }
    }

    /// `recv(2)`: the part of `buffer` that it filled; an empty one is the end of the stream.
    pub(crate) fn recv(self, buffer: &mut [MaybeUninit<u8>]) -> Result<&mut [u8], Errno> {
        let ((received, _), _) = rustix::net::recv(self.fd(), buffer, RecvFlags::DONTWAIT)?;
        Ok(received)
    }

    /// `sendmsg(2)`, without SIGPIPE; how many bytes of the pieces were taken.
    pub(crate) fn send(self, pieces: &[IoSlice<'_>]) -> Result<usize, Errno> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        if let [piece] = pieces {
            return rustix::net::send(self.fd(), piece, flags);
        }
        rustix::net::sendmsg(self.fd(), pieces, &mut SendAncillaryBuffer::default(), flags)
    }

    /// `recvfrom(2)`: the part of `buffer` that it filled, and who sent it if the kernel says.
    pub(crate) fn recv_from(
        self,
        buffer: &mut [MaybeUninit<u8>],
    ) -> Result<(&mut [u8], Option<SocketAddrAny>), Errno> {
        let ((received, _), _, from) =
            rustix::net::recvfrom(self.fd(), buffer, RecvFlags::DONTWAIT)?;
        Ok((received, from))
    }

    /// `sendto(2)`, without SIGPIPE.
    pub(crate) fn send_to(self, bytes: &[u8], to: &SocketAddrAny) -> Result<usize, Errno> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        rustix::net::sendto(self.fd(), bytes, flags, to)
    }

    /// `read(2)`: the part of `buffer` that it filled; an empty one is the end.
    pub(crate) fn read(self, buffer: &mut [MaybeUninit<u8>]) -> Result<&mut [u8], Errno> {
        rustix::io::read(self.fd(), buffer).map(|(read, _)| read)
    }

    /// `write(2)` or `writev(2)`; how many bytes of the pieces were taken.
    pub(crate) fn write(self, pieces: &[IoSlice<'_>]) -> Result<usize, Errno> {
        if let [piece] = pieces {
            return rustix::io::write(self.fd(), piece);
        }
        rustix::io::writev(self.fd(), pieces)
    }

    /// What kind of file it is open on.
    pub(crate) fn file_type(self) -> Result<FileType, Errno> {
        rustix::fs::fstat(self.fd()).map(|stat| FileType::from_raw_mode(stat.st_mode))
    }

    /// Sets non-blocking mode, for everybody who has the file open.
    pub(crate) fn set_nonblocking(self) -> Result<(), Errno> {
        rustix::io::ioctl_fionbio(self.fd(), true)
    }

    /// Ends the sending half.
    pub(crate) fn shutdown_write(self) -> Result<(), Errno> {
        rustix::net::shutdown(self.fd(), Shutdown::Write)
    }

    /// Accepts one connection, non-blocking and closed on exec.
    pub(crate) fn accept(self) -> Result<(OwnedFd, Option<SocketAddrAny>), Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        rustix::net::acceptfrom_with(self.fd(), flags)
    }

    /// The own address of a connection by IP.
    pub(crate) fn local_address(self) -> Option<SocketAddr> {
        rustix::net::getsockname(self.fd()).ok()?.try_into().ok()
    }

    /// Switches Nagle's algorithm off, which holds small writes back; a socket that has none
    /// refuses, which is as well.
    pub(crate) fn set_nodelay(self) {
        let _ = rustix::net::sockopt::set_tcp_nodelay(self.fd(), true);
    }
}

/// The name in a unix socket's address (`sun_path`), as long as the kernel said it is: empty, or a
/// path and perhaps its NUL, or NUL and an abstract name.
pub(crate) fn unix_name(address: &SocketAddrAny) -> &[u8] {
    let len = usize::try_from(address.addr_len()).unwrap_or(0);
    // SAFETY: a SocketAddrAny holds `addr_len` initialised bytes at `as_ptr`, and lends them out
    // for as long as it is borrowed itself.
    let bytes = unsafe { std::slice::from_raw_parts(address.as_ptr().cast::<u8>(), len) };
    bytes.get(size_of::<RawAddressFamily>()..).unwrap_or_default()
}
