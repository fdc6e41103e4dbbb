//! Time as the loop sees it: nanoseconds of a monotonic clock, or of a clock that tests move.

use std::ops::{Add, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment on the loop's clock, in nanoseconds since the clock's origin.
///
/// On Linux the origin is that of `CLOCK_MONOTONIC` (`clock_gettime(2)`), which Python's
/// `time.monotonic()` reads too, so both doors agree on what time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The moment `nanos` nanoseconds after the clock's origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment `delay` later; a delay past the end of time (584 years) is the end of time.
    #[must_use]
    pub fn saturating_add(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long from `earlier` to this moment; zero if `earlier` is later.
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// As [`saturating_add`](Self::saturating_add).
    fn add(self, delay: Duration) -> Self {
        self.saturating_add(delay)
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// As [`saturating_duration_since`](Self::saturating_duration_since).
    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

/// A moment on a counter that costs next to nothing to read, for what need not be exact.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks(u64);

impl Ticks {
    /// So many ticks are about 20 microseconds: a counter of 3 GHz, or nanoseconds.
    const FEW: u64 = if cfg!(target_arch = "x86_64") { 60_000 } else { 20_000 };

    #[inline]
    pub(crate) fn now() -> Self {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: every processor of this architecture has the instruction.
        #[allow(unsafe_code)]
        return Self(unsafe { std::arch::x86_64::_rdtsc() });
        #[cfg(not(target_arch = "x86_64"))]
        Self(Clock::Monotonic.now().as_nanos())
    }

    /// Whether this was less than about 20 microseconds ago. Counters of two processors may
    /// differ: what seems to lie ahead is not recent.
    #[inline]
    pub(crate) fn is_recent(self) -> bool {
        Self::now().0.wrapping_sub(self.0) < Self::FEW
    }
}

/// Where a loop reads the time.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's monotonic clock.
    #[default]
    Monotonic,
    /// A clock that stands still until it is moved, or until the loop has nothing to do but wait
    /// for a deadline, when it jumps there.
    Mock(MockClock),
}

impl Clock {
    /// The time now.
    pub fn now(&self) -> Instant {
        match self {
            Self::Monotonic => {
                let now = clock_gettime(ClockId::Monotonic);
                // The kernel's monotonic seconds and nanoseconds are never negative.
                Instant(now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs())
            }
            Self::Mock(clock) => clock.now(),
        }
    }
}

/// A clock for tests, shared by all its clones. It begins at zero.
#[derive(Clone, Debug, Default)]
pub struct MockClock(Arc<AtomicU64>);

impl MockClock {
    /// The time that was last set.
    pub fn now(&self) -> Instant {
        Instant(self.0.load(Ordering::Acquire))
    }

    /// Moves the clock on by `step`.
    pub fn advance(&self, step: Duration) {
        self.advance_to(self.now().saturating_add(step));
    }

    /// Moves the clock on to `moment`; a clock never runs backwards, so an earlier moment does
    /// nothing.
    pub fn advance_to(&self, moment: Instant) {
        self.0.fetch_max(moment.0, Ordering::AcqRel);
    }
}
