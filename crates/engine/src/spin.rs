//! Spinning: looking at the descriptors again and again for some microseconds before the sleep.
//!
//! To fall asleep and to be woken takes the kernel longer than most answers take to come, so a loop
//! that waits for one message after the other is up to twice as fast if it does not sleep at all.
//! The price is the time of a processor, spent on nothing. So it is off unless asked for, lasts no
//! longer than was asked for, and pauses where it does not pay: when most waits turn out to be
//! longer, the loop sleeps at once, until waits become short again.

use std::io;
use std::time::Duration;

use crate::clock::{Clock, Instant};
use crate::driver::{Driver, Events};
use crate::inject::Bell;

/// How long a loop spins where nobody says how long.
pub const DEFAULT_SPIN: Duration = Duration::from_micros(50);

/// The balance at which spinning is worth trying, of at most `BALANCE`.
const WORTH_IT: u8 = 4;

/// After how many waits the loop has forgotten what came before.
const BALANCE: u8 = 16;

/// What a spin in vain costs, in spins that were not.
const IN_VAIN: u8 = 2;

/// How long to spin, and whether it pays.
#[derive(Debug)]
pub(crate) struct Spin {
    limit: Duration,
    /// Goes up with each wait that was short, and down with each that was not.
    balance: u8,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug)]
enum Waited {
    /// Something came while the loop span.
    Spun,
    /// Nothing came, and the loop slept.
    InVain,
    /// The loop slept at once, for as long.
    Slept(Duration),
}

/// One wait of a loop that may spin, apart from the loop: nothing of it is borrowed meanwhile.
#[derive(Debug)]
pub(crate) struct Wait {
    limit: Duration,
    spins: bool,
    waited: Option<Waited>,
}

impl Spin {
    pub(crate) fn new(limit: Duration) -> Option<Self> {
        (!limit.is_zero()).then_some(Self { limit, balance: BALANCE })
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    pub(crate) fn wait(&self) -> Wait {
        Wait { limit: self.limit, spins: self.balance >= WORTH_IT, waited: None }
    }

    /// Learns from a wait that is over.
    pub(crate) fn learn(&mut self, wait: &Wait) {
        let Some(waited) = wait.waited else { return };
        let short = match waited {
            Waited::Spun => true,
            Waited::InVain => false,
            // To wake up takes its time, too, which spinning saves.
            Waited::Slept(time) => time < self.limit * 2,
        };
        self.balance = match (short, waited) {
            (true, _) => BALANCE.min(self.balance + 1),
            (false, Waited::InVain) => self.balance.saturating_sub(IN_VAIN),
            (false, _) => self.balance.saturating_sub(1),
        };
    }
}

impl Wait {
    pub(crate) fn spins(&self) -> bool {
        self.spins
    }

    /// Spins, if that is worth it, and then sleeps for as much of `timeout` as is left.
    ///
    /// # Errors
    /// Those of [`Driver::park`].
    pub(crate) fn park(
        &mut self,
        driver: &Driver,
        bell: &Bell,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let clock = Clock::Monotonic;
        let began = clock.now();
        let deadline = timeout.map(|timeout| began + timeout);
        if self.spins {
            let until = began + self.limit;
            let until = deadline.map_or(until, |deadline| deadline.min(until));
            if spin(driver, bell, events, until)? || deadline == Some(until) {
                self.waited = Some(Waited::Spun);
                return Ok(());
            }
            self.waited = Some(Waited::InVain);
            if !bell.stop_spinning() {
                return Ok(());
            }
            return driver.park(events, deadline.map(|deadline| deadline - clock.now()));
        }
        let parked = driver.park(events, timeout);
        self.waited = Some(Waited::Slept(clock.now() - began));
        parked
    }
}

/// Looks until something is there, somebody rang, or the time is over; whether it is not over.
fn spin(driver: &Driver, bell: &Bell, events: &mut Events, until: Instant) -> io::Result<bool> {
    loop {
        driver.park(events, Some(Duration::ZERO))?;
        if !events.is_empty() || bell.has_rung() {
            return Ok(true);
        }
        if Clock::Monotonic.now() >= until {
            return Ok(false);
        }
        // Whoever is to send the answer may have no other processor to do it on.
        std::thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(spin: &mut Spin, waited: Waited) -> bool {
        spin.learn(&Wait { limit: spin.limit, spins: true, waited: Some(waited) });
        spin.wait().spins()
    }

    #[test]
    fn long_waits_end_the_spinning_and_short_ones_begin_it_again() {
        let mut spin = Spin::new(DEFAULT_SPIN).unwrap();
        assert!(spin.wait().spins());
        assert!((0..BALANCE).any(|_| !learned(&mut spin, Waited::InVain)));
        let (short, long) = (Duration::from_micros(40), Duration::from_secs(1));
        assert!((0..BALANCE).all(|_| !learned(&mut spin, Waited::Slept(long))));
        assert!((0..BALANCE).any(|_| learned(&mut spin, Waited::Slept(short))));
        assert!((0..BALANCE).all(|_| learned(&mut spin, Waited::Spun)));
    }

    #[test]
    fn a_long_wait_now_and_then_does_not_end_the_spinning() {
        let mut spin = Spin::new(DEFAULT_SPIN).unwrap();
        for number in 0..1000 {
            let waited = if number % 10 == 0 { Waited::InVain } else { Waited::Spun };
            assert!(learned(&mut spin, waited));
        }
    }

    #[test]
    fn no_time_is_no_spin() {
        assert!(Spin::new(Duration::ZERO).is_none());
    }
}
