//! A door of a few lines: callbacks are closures, and every park is counted.
#![allow(dead_code, reason = "each test program uses some of it")]

use std::cell::{Cell, RefCell};
use std::fs;
use std::io;
use std::sync::Arc;

use rondel_engine::clock::{Clock, MockClock};
use rondel_engine::{Door, EventLoop, Parking};

/// A callback; an error ends the run.
pub(crate) type Callback = Arc<dyn Fn(&TestDoor) -> Result<(), Broken> + Send + Sync>;

/// What ends a run in these tests.
#[derive(Debug)]
pub(crate) enum Broken {
    Callback(&'static str),
    Driver(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Driver(error)
    }
}

type Hook = Box<dyn FnMut(&TestDoor)>;

pub(crate) struct TestDoor {
    event_loop: RefCell<EventLoop<Callback>>,
    pub(crate) log: RefCell<Vec<String>>,
    /// How often the loop has parked, and how often of that only to look.
    pub(crate) parks: Cell<usize>,
    pub(crate) polls: Cell<usize>,
    pub(crate) batches: Cell<usize>,
    /// Called after each park, before its events are looked at.
    pub(crate) after_park: RefCell<Option<Hook>>,
    /// Ends the run after the next park.
    pub(crate) break_parked: Cell<bool>,
}

impl TestDoor {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            event_loop: RefCell::new(EventLoop::new(clock).unwrap()),
            log: RefCell::default(),
            parks: Cell::default(),
            polls: Cell::default(),
            batches: Cell::default(),
            after_park: RefCell::default(),
            break_parked: Cell::default(),
        }
    }

    pub(crate) fn mock() -> Self {
        Self::new(Clock::Mock(MockClock::default()))
    }

    pub(crate) fn run(&self) -> Result<(), Broken> {
        rondel_engine::run(self)
    }

    pub(crate) fn push(&self, callback: Callback) {
        self.with(|event_loop| event_loop.push(callback));
    }

    pub(crate) fn log(&self, text: impl Into<String>) {
        self.log.borrow_mut().push(text.into());
    }

    /// What was logged since this was last asked.
    pub(crate) fn logged(&self) -> Vec<String> {
        self.log.take()
    }
}

impl Door for TestDoor {
    type Callback = Callback;
    type Break = Broken;

    fn with<R>(&self, f: impl FnOnce(&mut EventLoop<Callback>) -> R) -> R {
        f(&mut self.event_loop.borrow_mut())
    }

    fn park(&self, parking: &mut Parking) -> io::Result<()> {
        self.parks.set(self.parks.get() + 1);
        self.polls.set(self.polls.get() + usize::from(parking.is_poll()));
        let parked = parking.park();
        let hook = self.after_park.take();
        if let Some(mut hook) = hook {
            hook(self);
        }
        parked
    }

    fn parked(&self) -> Result<(), Broken> {
        if self.break_parked.take() { Err(Broken::Callback("signal")) } else { Ok(()) }
    }

    fn call(&self, callback: &Callback) -> Result<(), Broken> {
        callback(self)
    }

    fn batch_ran(&self) -> Result<(), Broken> {
        self.batches.set(self.batches.get() + 1);
        Ok(())
    }
}

/// A callback that logs `text`.
pub(crate) fn say(text: &'static str) -> Callback {
    Arc::new(move |door| {
        door.log(text);
        Ok(())
    })
}

/// A callback that ends the run after its turn.
pub(crate) fn stop() -> Callback {
    Arc::new(|door| {
        door.with(EventLoop::stop);
        Ok(())
    })
}

/// How often an eventfd was written, of which the process has one, whose counter nobody reads.
pub(crate) fn wake_ups() -> u64 {
    let counters: Vec<u64> = fs::read_dir("/proc/self/fdinfo")
        .unwrap()
        .filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok())
        .filter_map(|info| {
            let count = info.lines().find_map(|line| line.strip_prefix("eventfd-count:"))?;
            Some(u64::from_str_radix(count.trim(), 16).unwrap())
        })
        .collect();
    assert_eq!(counters.len(), 1);
    counters[0]
}
