//! The one place where the loop sleeps: level-triggered epoll (`epoll(7)`) and an eventfd
//! (`eventfd(2)`) by which other threads end the sleep.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;

use crate::fork::{self, Origin};

/// The name that users see as `loop.driver`.
pub const NAME: &str = "epoll";

/// As many events as one park can bring; the rest is still there at the next, being
/// level-triggered. 1,024 events are 12 KiB.
const EVENTS_PER_PARK: usize = 1024;

/// The token of the eventfd; sources have tokens below it.
const UNPARK_TOKEN: u64 = u64::MAX;

/// Whether the kernel takes timeouts in nanoseconds.
///
/// # Errors
/// Why not: the kernel is older than Linux 5.11, or a sandbox denies the call.
pub fn probe_exact_timeouts() -> Result<(), String> {
    let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(|error| error.to_string())?;
    let nanosecond = Timespec { tv_sec: 0, tv_nsec: 1 };
    let mut events = Vec::with_capacity(1);
    match epoll::wait(&epoll, spare_capacity(&mut events), Some(&nanosecond)) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// What a descriptor is watched for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Data, a connection or the end of the stream can be read.
    pub readable: bool,
    /// There is room to write.
    pub writable: bool,
}

impl Interest {
    /// Whether it is watched for nothing.
    pub const fn is_empty(self) -> bool {
        !self.readable && !self.writable
    }

    fn flags(self) -> EventFlags {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, self.readable);
        flags.set(EventFlags::OUT, self.writable);
        flags
    }
}

/// Readiness of one descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) token: u64,
    pub(crate) ready: Interest,
}

/// The buffer that the kernel fills while the loop is parked.
pub(crate) struct Events(Vec<epoll::Event>);

// SAFETY: the field that is declared as a pointer is only ever filled with a token (`new_u64`), and
// a number means the same on every thread.
unsafe impl Send for Events {}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Events {
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(EVENTS_PER_PARK))
    }

    /// The events of the last park, in the kernel's order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Event> {
        self.0.iter().filter_map(|event| {
            let (flags, token) = (event.flags, event.data.u64());
            // An error or a hang-up is for whoever waits, reader or writer: the next read or
            // write fails, and says why.
            let ready = Interest {
                readable: flags.intersects(!EventFlags::OUT),
                writable: flags.intersects(!EventFlags::IN),
            };
            (token != UNPARK_TOKEN).then_some(Event { token, ready })
        })
    }

    /// Whether the last park brought nothing, not even a wake-up.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Ends a park from any thread.
#[derive(Clone, Debug)]
pub struct Unparker(Arc<WakeUp>);

#[derive(Debug)]
struct WakeUp {
    eventfd: OwnedFd,
    /// Of the eventfd and the epoll instance that waits for it.
    origin: Origin,
}

impl Unparker {
    /// Makes the current or the next park return at once.
    pub fn unpark(&self) {
        if self.0.origin.is_elsewhere() {
            return; // it is a parent that would be woken: nothing has parked in this process yet
        }
        // The counter cannot overflow in this universe, so the write cannot fail with EAGAIN; and
        // the descriptor is ours as long as this exists.
        let _ = rustix::io::write(&self.0.eventfd, &1_u64.to_ne_bytes());
    }
}

/// An epoll instance and the eventfd that ends its sleep.
#[derive(Debug)]
pub struct Driver {
    epoll: OwnedFd,
    unparker: Unparker,
    /// Whether the kernel takes nanoseconds (`epoll_pwait2`, Linux 5.11, unless a sandbox denies
    /// it); otherwise timeouts are rounded up to whole milliseconds.
    exact_timeouts: AtomicBool,
}

impl Driver {
    /// A driver that watches nothing yet.
    ///
    /// # Errors
    /// Those of `epoll_create1(2)` and `eventfd(2)`: out of descriptors or memory.
    pub fn new() -> io::Result<Self> {
        let origin = Origin::here()?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let eventfd = new_eventfd()?;
        watch_eventfd(&epoll, &eventfd)?;
        Ok(Self {
            epoll,
            unparker: Unparker(Arc::new(WakeUp { eventfd, origin })),
            exact_timeouts: AtomicBool::new(true),
        })
    }

    /// Whether this is a parent's driver, in a forked child that has not renewed it.
    #[inline]
    pub(crate) fn is_inherited(&self) -> bool {
        self.unparker.0.origin.is_elsewhere()
    }

    /// Makes an inherited driver this process's own; it watches nothing then.
    ///
    /// # Errors
    /// Those of `epoll_create1(2)` and `eventfd(2)`: out of descriptors or memory.
    pub(crate) fn renew(&self) -> io::Result<()> {
        let WakeUp { eventfd, origin } = &*self.unparker.0;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        // The new one first: epoll knows files by what they are, not by their number alone.
        fork::replace(eventfd, &new_eventfd()?)?;
        watch_eventfd(&epoll, eventfd)?;
        fork::replace(&self.epoll, &epoll)?;
        origin.is_now_here();
        Ok(())
    }

    /// Whether timeouts below a millisecond are kept exactly, as far as has been seen.
    pub fn exact_timeouts(&self) -> bool {
        self.exact_timeouts.load(Ordering::Relaxed)
    }

    /// What ends this driver's park.
    pub fn unparker(&self) -> Unparker {
        self.unparker.clone()
    }

    /// Changes what `fd` is watched for, from `old` to `new`; events carry `token`.
    ///
    /// A descriptor that was closed without a word is gone from epoll, and its number may stand
    /// for a new file: a change then becomes an addition, and a removal has nothing left to do.
    ///
    /// # Errors
    /// Those of `epoll_ctl(2)`: EBADF for what is no open descriptor, EPERM for a regular file.
    pub(crate) fn watch(
        &self,
        fd: RawFd,
        token: u64,
        old: Interest,
        new: Interest,
    ) -> io::Result<()> {
        if fd < 0 {
            return Err(Errno::BADF.into());
        }
        // SAFETY: the number goes to epoll_ctl and nowhere else; if it names no open descriptor
        // the kernel answers EBADF. It is not -1, the one value that BorrowedFd excludes.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let data = EventData::new_u64(token);
        let add = || match epoll::add(&self.epoll, fd, data, new.flags()) {
            Err(Errno::EXIST) => epoll::modify(&self.epoll, fd, data, new.flags()),
            done => done,
        };
        let done = if new.is_empty() {
            match epoll::delete(&self.epoll, fd) {
                Err(Errno::NOENT | Errno::BADF | Errno::PERM) => Ok(()),
                done => done,
            }
        } else if old.is_empty() {
            add()
        } else {
            match epoll::modify(&self.epoll, fd, data, new.flags()) {
                Err(Errno::NOENT) => add(),
                done => done,
            }
        };
        done.map_err(io::Error::from)
    }

    /// Sleeps until a watched descriptor is ready, `timeout` is over (`None`: no limit), or
    /// somebody unparks. Fills `events`.
    ///
    /// # Errors
    /// `Interrupted` when a signal arrived; anything else means that the driver is broken, or
    /// that it is a parent's and could not be renewed.
    pub(crate) fn park(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        if self.is_inherited() {
            return Err(Errno::BADF.into());
        }
        let exact = self.exact_timeouts.load(Ordering::Relaxed);
        let limit = timeout.map(|timeout| timespec(timeout, exact));
        match epoll::wait(&self.epoll, spare_capacity(&mut events.0), limit.as_ref()) {
            Err(Errno::NOSYS | Errno::PERM) if exact => {
                self.exact_timeouts.store(false, Ordering::Relaxed);
                self.park(events, timeout)
            }
            done => done.map(drop).map_err(io::Error::from),
        }
    }
}

impl AsFd for Driver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn new_eventfd() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

fn watch_eventfd(epoll: &OwnedFd, eventfd: &OwnedFd) -> io::Result<()> {
    // Edge-triggered, so that nobody has to read the counter back: every write is an edge.
    let flags = EventFlags::IN | EventFlags::ET;
    Ok(epoll::add(epoll, eventfd, EventData::new_u64(UNPARK_TOKEN), flags)?)
}

/// Rounded up to whole milliseconds where the kernel takes no less, so that no deadline is met
/// too early; rounding down would spin.
fn timespec(timeout: Duration, exact: bool) -> Timespec {
    // A day at most: a park that ends early is only one more turn.
    let timeout = timeout.min(Duration::from_secs(86_400));
    let timeout = if exact {
        timeout
    } else {
        let millis = timeout.as_nanos().div_ceil(1_000_000);
        Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    };
    Timespec { tv_sec: timeout.as_secs().cast_signed(), tv_nsec: i64::from(timeout.subsec_nanos()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unpark_before_the_park_ends_it_at_once() {
        let driver = Driver::new().unwrap();
        let mut events = Events::new();
        driver.unparker().unpark();
        driver.park(&mut events, None).unwrap();
        assert_eq!(events.iter().count(), 0);
    }

    #[test]
    fn a_timeout_below_a_millisecond_is_rounded_up_where_the_kernel_takes_none() {
        let short = Duration::from_micros(10);
        assert_eq!(timespec(short, true).tv_nsec, 10_000);
        assert_eq!(timespec(short, false).tv_nsec, 1_000_000);
    }

    #[test]
    fn a_bad_descriptor_is_an_error_and_a_closed_one_can_be_dropped() {
        let driver = Driver::new().unwrap();
        let readable = Interest { readable: true, writable: false };
        let bad = driver.watch(-1, 0, Interest::default(), readable).unwrap_err();
        assert_eq!(bad.raw_os_error(), Some(Errno::BADF.raw_os_error()));
        assert!(driver.watch(1_000_000, 0, readable, Interest::default()).is_ok());
    }
}
