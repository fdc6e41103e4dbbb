//! From what users call an address to what sockets do.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs};

use crate::current::Current;
use crate::executor::submit_to;

/// The addresses of `host` for `port`, in the order in which they should be tried: the system's
/// `getaddrinfo(3)`, with its configuration, in a pool of its own. A numeric address needs no
/// thread and gives itself.
///
/// # Errors
/// What the system says of a name that it cannot resolve.
pub async fn getaddrinfo(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    // A scope ("fe80::1%eth0") is for the system to resolve.
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let name = host.to_owned();
    let call = submit_to(Current::running().resolver(), move || {
        (name.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>)
    });
    let addresses = call.await.map_err(io::Error::from)??;
    if addresses.is_empty() {
        return Err(io::Error::other(format!("getaddrinfo({host:?}) returned empty list")));
    }
    Ok(addresses)
}

/// What [`TcpStream::connect`](super::TcpStream::connect) and
/// [`TcpListener::bind`](super::TcpListener::bind) accept: socket addresses, pairs of a host and a
/// port, and strings like `"localhost:8080"` or `"[::1]:8080"`.
pub trait Address {
    /// The socket addresses, in the order in which they should be tried.
    ///
    /// # Errors
    /// `InvalidInput` for a string that is no address; else those of [`getaddrinfo`].
    fn resolve(self) -> impl Future<Output = io::Result<Vec<SocketAddr>>>;
}

macro_rules! impl_address {
    ($($type:ty),+) => {$(
        impl Address for $type {
            async fn resolve(self) -> io::Result<Vec<SocketAddr>> {
                Ok(vec![self.into()])
            }
        }
    )+};
}

impl_address! {
    SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16)
}

impl Address for &[SocketAddr] {
    async fn resolve(self) -> io::Result<Vec<SocketAddr>> {
        Ok(self.to_vec())
    }
}

impl Address for (&str, u16) {
    async fn resolve(self) -> io::Result<Vec<SocketAddr>> {
        getaddrinfo(self.0, self.1).await
    }
}

impl Address for (String, u16) {
    async fn resolve(self) -> io::Result<Vec<SocketAddr>> {
        getaddrinfo(&self.0, self.1).await
    }
}

impl Address for &str {
    async fn resolve(self) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = self.parse() {
            return Ok(vec![address]);
        }
        let parts = self.rsplit_once(':');
        match parts.and_then(|(host, port)| Some((host, port.parse().ok()?))) {
            Some((host, port)) => getaddrinfo(host, port).await,
            None => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("no host and port: {self:?}"),
            )),
        }
    }
}

impl Address for &String {
    async fn resolve(self) -> io::Result<Vec<SocketAddr>> {
        self.as_str().resolve().await
    }
}

impl Address for String {
    async fn resolve(self) -> io::Result<Vec<SocketAddr>> {
        self.as_str().resolve().await
    }
}
