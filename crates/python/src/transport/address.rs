//! Socket addresses as Python's `socket` module writes them: ``(host, port)``,
//! ``(host, port, flowinfo, scope_id)``, a path, an abstract name as bytes.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString, PyTuple};
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix};

use crate::ffi::cell::AttachedCell;
use crate::ffi::descriptor::unix_name;

/// The size of `sun_path` in `struct sockaddr_un`; see `unix(7)`.
const UNIX_PATH_MAX: usize = 108;

/// Whether addresses of this family can be converted here.
pub(crate) fn is_known(family: AddressFamily) -> bool {
    matches!(family, AddressFamily::INET | AddressFamily::INET6 | AddressFamily::UNIX)
}

/// The peer of a socket's last datagram, in both forms: the next one often comes from it or goes to
/// it, and the address then need not be converted.
#[derive(Default)]
pub(crate) struct LastPeer(AttachedCell<Option<(Py<PyAny>, SocketAddrAny)>>);

impl LastPeer {
    /// As [`to_python()`].
    pub(crate) fn object_of<'py>(
        &self,
        py: Python<'py>,
        address: SocketAddrAny,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let known = self.0.with(py, |last| match last {
            Some((object, known)) if *known == address => Some(object.clone_ref(py)),
            _ => None,
        });
        if let Some(known) = known {
            return Ok(Some(known.into_bound(py)));
        }
        let object = to_python(py, &address)?;
        if let Some(object) = &object {
            self.remember(object, address);
        }
        Ok(object)
    }

    /// As [`from_python()`].
    pub(crate) fn address_of(
        &self,
        family: AddressFamily,
        object: &Bound<'_, PyAny>,
    ) -> Option<SocketAddrAny> {
        let known = self.0.with(object.py(), |last| match last {
            // What is remembered is immutable: it still stands for the same.
            Some((known, address)) if known.is(object) => Some(address.clone()),
            _ => None,
        });
        known.or_else(|| {
            let address = from_python(family, object)?;
            self.remember(object, address.clone());
            Some(address)
        })
    }

    fn remember(&self, object: &Bound<'_, PyAny>, address: SocketAddrAny) {
        let peer = (object.clone().unbind(), address);
        drop(self.0.with(object.py(), |last| last.replace(peer)));
    }
}

/// The address as an object; `None` for one of a family that is not known here.
pub(crate) fn to_python<'py>(
    py: Python<'py>,
    address: &SocketAddrAny,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if address.address_family() == AddressFamily::UNIX {
        let name = unix_name(address);
        if name.first() == Some(&0) {
            return Ok(Some(PyBytes::new(py, name).into_any()));
        }
        let path = name.split(|byte| *byte == 0).next().unwrap_or_default();
        return Ok(Some(OsStr::from_bytes(path).into_pyobject(py)?.into_any()));
    }
    Ok(match SocketAddr::try_from(address.clone()) {
        Ok(SocketAddr::V4(v4)) => {
            Some((v4.ip().to_string(), v4.port()).into_pyobject(py)?.into_any())
        }
        Ok(SocketAddr::V6(v6)) => {
            let host = host_of_v6(*v6.ip());
            Some((host, v6.port(), v6.flowinfo(), v6.scope_id()).into_pyobject(py)?.into_any())
        }
        Err(_) => None,
    })
}

/// As `inet_ntop(3)` writes it, which has a dotted form for one more range than Rust has.
fn host_of_v6(host: Ipv6Addr) -> String {
    match host.segments() {
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => {
            let [.., a, b, c, d] = host.octets();
            format!("::{a}.{b}.{c}.{d}")
        }
        _ => host.to_string(),
    }
}

/// What an immutable object in the plainest form stands for. `None` for everything else: names to
/// be resolved, other types, mistakes; what becomes of those Python's own `socket` knows.
pub(crate) fn from_python(
    family: AddressFamily,
    address: &Bound<'_, PyAny>,
) -> Option<SocketAddrAny> {
    match family {
        AddressFamily::INET | AddressFamily::INET6 => {
            let parts = address.cast_exact::<PyTuple>().ok()?;
            let host = parts.get_item(0).ok()?;
            let host = host.cast_exact::<PyString>().ok()?;
            let host = host.to_str().ok()?;
            let port = u16::try_from(number(parts, 1)?).ok()?;
            if family == AddressFamily::INET {
                let host = IpAddr::V4(host.parse().ok()?);
                return (parts.len() == 2).then(|| SocketAddr::new(host, port).into());
            }
            let flowinfo = if parts.len() > 2 { number(parts, 2)? } else { 0 };
            let scope = if parts.len() > 3 { number(parts, 3)? } else { 0 };
            let plain = parts.len() <= 4 && flowinfo <= 0xf_ffff;
            let host = host.parse().ok()?;
            plain.then(|| SocketAddr::V6(SocketAddrV6::new(host, port, flowinfo, scope)).into())
        }
        AddressFamily::UNIX => {
            let name = match address.cast_exact::<PyBytes>() {
                Ok(name) => name.as_bytes().to_vec(),
                Err(_) => {
                    address.cast_exact::<PyString>().ok()?.extract::<OsString>().ok()?.into_vec()
                }
            };
            let address = match name.as_slice() {
                [] => return None,
                [0, name @ ..] => SocketAddrUnix::new_abstract_name(name).ok()?,
                // Python wants room for a NUL at the end; the kernel does not.
                path if path.len() >= UNIX_PATH_MAX => return None,
                path => SocketAddrUnix::new(path).ok()?,
            };
            Some(address.into())
        }
        _ => None,
    }
}

fn number(parts: &Bound<'_, PyTuple>, index: usize) -> Option<u32> {
    parts.get_borrowed_item(index).ok()?.cast_exact::<PyInt>().ok()?.extract().ok()
}
