//! One turn of the loop, and the run that repeats it. Both doors go through here and nowhere else.

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use async_task::Runnable;

use crate::clock::{Clock, Instant, Ticks};
use crate::driver::{Driver, Events, Interest};
use crate::inject::{Bell, Inbox};
use crate::notify::Notify;
use crate::ready::{Ready, ReadyQueue};
use crate::sources::{Direction, Sources};
use crate::spin::{Spin, Wait};
use crate::timers::{TimerKey, Timers};

/// So many turns run between two looks at the descriptors at most.
const MOST_TURNS_WITHOUT_LOOK: u32 = 64;

/// A turn with more entries than this is so long that a look before it does not count.
const FEW_ENTRIES: usize = 16;

/// Everything that a loop is, apart from the thread that runs it and the door it stands behind.
///
/// No method runs a callback or wakes a Waker, so a door may keep this behind a borrow that
/// callbacks and Wakers, which may be anybody's, can take too.
#[derive(Debug)]
pub struct EventLoop<C> {
    ready: ReadyQueue<C>,
    timers: Timers<Notify<C>>,
    sources: Sources<C>,
    inbox: Arc<Inbox<Ready<C>>>,
    driver: Arc<Driver>,
    clock: Clock,
    /// Away while the loop is parked.
    events: Option<Events>,
    /// Reused from turn to turn.
    arrived: Vec<Ready<C>>,
    /// The Wakers of the events and deadlines of this turn; reused, too.
    woken: Vec<Waker>,
    stopping: bool,
    /// Whether the loop spins before it sleeps.
    spin: Option<Spin>,
    /// Whether a run is under way.
    running: bool,
    /// The latest time that is known: a deadline that is not later is due.
    observed: Instant,
    /// When the loop last looked at its descriptors.
    last_look: Ticks,
    /// How many turns have run since.
    turns_since_look: u32,
}

impl<C: Clone> EventLoop<C> {
    /// A loop with nothing to do.
    ///
    /// # Errors
    /// Those of [`Driver::new`].
    pub fn new(clock: Clock) -> io::Result<Self> {
        let driver = Arc::new(Driver::new()?);
        Ok(Self {
            ready: ReadyQueue::default(),
            timers: Timers::default(),
            sources: Sources::new(Arc::clone(&driver)),
            inbox: Arc::new(Inbox::new(driver.unparker())),
            driver,
            clock,
            events: Some(Events::new()),
            arrived: Vec::new(),
            woken: Vec::new(),
            stopping: false,
            spin: None,
            running: false,
            observed: Instant::from_nanos(0),
            last_look: Ticks::now(),
            turns_since_look: MOST_TURNS_WITHOUT_LOOK,
        })
    }

    /// The time on this loop's clock.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Takes note of a time that somebody has read from the loop's clock.
    #[inline]
    pub fn observe(&mut self, now: Instant) {
        self.observed = self.observed.max(now);
    }

    /// The driver in which the loop parks.
    pub fn driver(&self) -> &Driver {
        &self.driver
    }

    /// The way in from other threads.
    pub fn inbox(&self) -> &Arc<Inbox<Ready<C>>> {
        &self.inbox
    }

    /// What makes a Rust task's runnable ready on this loop, from any thread: the schedule
    /// function for `async_task::spawn_local` and its kin.
    pub fn scheduler(&self) -> impl Fn(Runnable) + Send + Sync + 'static + use<C>
    where
        C: Send + 'static,
    {
        let inbox = Arc::clone(&self.inbox);
        move |runnable| inbox.push(Ready::Task(runnable))
    }

    /// Appends a callback to the ready queue.
    #[inline]
    pub fn push(&mut self, callback: C) {
        self.ready.push(Ready::Callback(callback));
    }

    /// The callbacks and tasks that are ready, in order; what other threads pushed since the last
    /// turn is not among them.
    pub fn ready(&self) -> &ReadyQueue<C> {
        &self.ready
    }

    /// Sets a timer.
    #[inline]
    pub fn set_timer(&mut self, deadline: Instant, entry: Notify<C>) -> TimerKey {
        self.timers.set(deadline, entry)
    }

    /// Cancels a timer and returns what it would have resumed, or `None` if it is not set.
    pub fn cancel_timer(&mut self, key: TimerKey) -> Option<Notify<C>> {
        self.timers.cancel(key)
    }

    /// The timers that are set.
    pub fn timers(&self) -> &Timers<Notify<C>> {
        &self.timers
    }

    /// Has `waiter` resumed whenever `fd` is ready in `direction` (a callback: until unwatched; a
    /// Waker: once), and returns the waiter that it replaces.
    ///
    /// # Errors
    /// Those of `epoll_ctl(2)`: EBADF for what is no open descriptor, EPERM for a regular file.
    pub fn watch(
        &mut self,
        fd: RawFd,
        direction: Direction,
        waiter: Notify<C>,
    ) -> io::Result<Option<Notify<C>>> {
        self.look_next();
        self.sources.watch(fd, direction, waiter)
    }

    /// Ends a watch and returns its waiter. To be called before the descriptor is closed.
    pub fn unwatch(&mut self, fd: RawFd, direction: Direction) -> Option<Notify<C>> {
        self.sources.unwatch(fd, direction)
    }

    /// Who waits for `fd`.
    pub fn waiter(&self, fd: RawFd, direction: Direction) -> Option<&Notify<C>> {
        self.sources.waiter(fd, direction)
    }

    /// Everything that waits for a descriptor.
    pub fn waiters(&self) -> impl Iterator<Item = &Notify<C>> {
        self.sources.waiters()
    }

    /// Every watched descriptor with what is waited for.
    pub fn watched(&self) -> impl Iterator<Item = (RawFd, Interest)> {
        self.sources.iter()
    }

    /// Whether this is a parent's loop, in a forked child that has not used it yet: the descriptors
    /// in which it parks are the parent's.
    #[inline]
    pub fn is_inherited(&self) -> bool {
        self.driver.is_inherited()
    }

    /// Has an inherited loop park in descriptors of this process's own, so that what happens to it
    /// here does not happen to the parent. Whoever watches or parks does it by itself; called before,
    /// it gives a door the occasion to renew what else is shared.
    ///
    /// A loop that was at rest goes on watching what it did. One that was running does not: its
    /// waiters are there, but the child, which may come to run it only to end it, takes no data
    /// that the parent waits for.
    ///
    /// # Errors
    /// Those of [`Driver::new`].
    pub fn renew(&mut self) -> io::Result<()> {
        if self.running {
            self.sources.forget();
        }
        self.sources.renew_driver()
    }

    /// Has the next turn look at the descriptors, whatever the time: what has just been sent may
    /// have come back already, and who counts turns finds it in the one where asyncio has it.
    #[inline]
    pub fn look_next(&mut self) {
        self.turns_since_look = MOST_TURNS_WITHOUT_LOOK;
    }

    fn begin_run(&mut self) {
        if self.is_inherited() {
            let _ = self.renew(); // if that fails, the park will
        }
        self.running = true;
        self.look_next();
    }

    fn end_run(&mut self) {
        if self.is_inherited() {
            self.sources.forget();
        }
        self.running = false;
    }

    /// Ends the run after the turn that is under way, or after the next one's.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Whether a stop was asked for and has not ended a run yet.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Takes back what [`stop`](Self::stop) asked for.
    pub fn do_not_stop(&mut self) {
        self.stopping = false;
    }

    /// Has the loop spin for up to `limit` before it sleeps ([`spin`](crate::spin)); zero, which it
    /// begins with: not at all. A loop on a mock clock never does.
    pub fn set_spin(&mut self, limit: Duration) {
        self.spin = match self.clock {
            Clock::Monotonic => Spin::new(limit),
            Clock::Mock(_) => None,
        };
    }

    /// For how long the loop spins before it sleeps.
    pub fn spin(&self) -> Duration {
        self.spin.as_ref().map_or(Duration::ZERO, Spin::limit)
    }

    /// Takes every entry, timer and waiter out, for the caller to drop where dropping is safe:
    /// dropping may run user code, which may come back here.
    pub fn take_all(&mut self) -> Remains<C> {
        self.inbox.drain_into(&mut self.arrived);
        self.ready.append(&mut self.arrived);
        let mut notify = self.timers.take_all();
        notify.append(&mut self.sources.take_all());
        Remains { ready: self.ready.take_all(), notify }
    }

    /// Begins a turn without a look at the descriptors, if one was had a moment ago: a system
    /// call per turn costs more than a turn of one callback. `false` if it is time to look.
    #[inline]
    fn begin_busy_turn(&mut self) -> bool {
        let ready = self.ready.len();
        let busy = ready != 0
            && ready <= FEW_ENTRIES
            && self.turns_since_look < MOST_TURNS_WITHOUT_LOOK
            && !self.stopping
            && self.inbox.is_empty()
            && self.timers.earliest().is_none_or(|deadline| deadline > self.observed)
            && matches!(self.clock, Clock::Monotonic)
            && self.last_look.is_recent();
        if busy {
            self.turns_since_look += 1;
            self.ready.begin_turn();
        }
        busy
    }

    /// How long the turn may park: not at all if anything is ready, otherwise until the next
    /// deadline.
    fn begin_park(&mut self) -> Parking {
        if self.is_inherited() {
            let _ = self.renew(); // if that fails, the park will
        }
        let must_look = self.stopping || !self.ready.is_empty();
        let wait = if must_look { None } else { self.spin.as_ref().map(Spin::wait) };
        let spins = wait.as_ref().is_some_and(Wait::spins);
        let timeout = if must_look || !self.inbox.begin_park(spins) {
            Some(Duration::ZERO)
        } else {
            let clock = &self.clock;
            self.timers
                .next_deadline()
                .map(|deadline| deadline.saturating_duration_since(clock.now()))
        };
        let jump = match (&self.clock, timeout) {
            // On a mock clock nobody waits for time to pass: look at the descriptors, then jump.
            (Clock::Mock(_), Some(wait)) if !wait.is_zero() => self.timers.next_deadline(),
            _ => None,
        };
        Parking {
            driver: Arc::clone(&self.driver),
            events: self.events.take().unwrap_or_else(Events::new),
            timeout: if jump.is_some() { Some(Duration::ZERO) } else { timeout },
            jump,
            wait: wait.map(|wait| (wait, Arc::clone(self.inbox.bell()))),
        }
    }

    /// Makes ready what arrived during the park: injected entries, then events, then deadlines.
    /// Returns the Wakers among them, to be woken outside and given back to
    /// [`begin_turn`](Self::begin_turn).
    fn end_park(&mut self, parking: Parking, parked: &io::Result<()>) -> Vec<Waker> {
        self.inbox.end_park();
        if let (Some(spin), Some((wait, _))) = (&mut self.spin, &parking.wait) {
            spin.learn(wait);
        }
        self.inbox.drain_into(&mut self.arrived);
        self.ready.append(&mut self.arrived);
        let mut woken = std::mem::take(&mut self.woken);
        let mut seen = false;
        if parked.is_ok() {
            for event in parking.events.iter() {
                seen = true;
                self.sources.dispatch(event, |waiter| resume(&mut self.ready, &mut woken, waiter));
            }
        }
        self.events = Some(parking.events);
        if let (Clock::Mock(clock), Some(deadline)) = (&self.clock, parking.jump)
            && !seen
            && self.ready.is_empty()
            && self.inbox.is_empty()
        {
            clock.advance_to(deadline);
        }
        if !self.timers.is_empty() {
            let now = self.clock.now();
            self.observe(now);
            let (ready, woken) = (&mut self.ready, &mut woken);
            self.timers.take_due(now, |entry| resume(ready, woken, entry));
        }
        woken
    }

    /// Sets the mark of the turn. A task that an event or a deadline woke is in the inbox by now,
    /// and runs in this turn, not the next.
    fn begin_turn(&mut self, woken: Vec<Waker>) {
        self.woken = woken;
        self.last_look = Ticks::now();
        self.turns_since_look = 0;
        self.inbox.drain_into(&mut self.arrived);
        self.ready.append(&mut self.arrived);
        self.ready.begin_turn();
    }
}

fn resume<C>(ready: &mut ReadyQueue<C>, woken: &mut Vec<Waker>, notify: Notify<C>) {
    match notify {
        Notify::Callback(callback) => ready.push(Ready::Callback(callback)),
        Notify::Waker(waker) => woken.push(waker),
    }
}

/// What was left in a loop when it was emptied.
#[derive(Debug)]
pub struct Remains<C> {
    /// The ready queue.
    pub ready: VecDeque<Ready<C>>,
    /// Timers and waiters.
    pub notify: Vec<Notify<C>>,
}

/// A park that is about to happen, separate from the loop so that nothing of the loop is borrowed
/// while its thread sleeps.
#[derive(Debug)]
pub struct Parking {
    driver: Arc<Driver>,
    events: Events,
    timeout: Option<Duration>,
    /// The deadline to which a mock clock jumps if the park brings nothing.
    jump: Option<Instant>,
    /// Where the loop may spin: how, and what other threads ring meanwhile.
    wait: Option<(Wait, Arc<Bell>)>,
}

impl Parking {
    /// Whether this only looks and does not sleep.
    pub fn is_poll(&self) -> bool {
        self.timeout == Some(Duration::ZERO)
    }

    /// Looks, and does not sleep; the turn after it parks again.
    ///
    /// # Errors
    /// As [`park`](Self::park).
    pub fn look(&mut self) -> io::Result<()> {
        self.driver.park(&mut self.events, Some(Duration::ZERO))
    }

    /// Sleeps; a loop that spins does so first.
    ///
    /// # Errors
    /// `Interrupted` when a signal arrived; the turn goes on with what is there.
    pub fn park(&mut self) -> io::Result<()> {
        let (driver, events) = (&self.driver, &mut self.events);
        match &mut self.wait {
            Some((wait, bell)) if self.timeout != Some(Duration::ZERO) => {
                wait.park(driver, bell, events, self.timeout)
            }
            _ => driver.park(events, self.timeout),
        }
    }
}

/// What a door supplies to a run: where the loop is kept, how the thread sleeps, what a callback
/// is.
pub trait Door {
    /// A callback.
    type Callback: Clone;
    /// What ends a run before somebody stops it.
    type Break: From<io::Error>;

    /// Lends the loop to `f`, which must not run callbacks or drop what may run user code.
    fn with<R>(&self, f: impl FnOnce(&mut EventLoop<Self::Callback>) -> R) -> R;

    /// Called before the loop looks at its descriptors, or sleeps: nothing runs for a while.
    ///
    /// # Errors
    /// What ends the run.
    fn looks(&self) -> Result<(), Self::Break> {
        Ok(())
    }

    /// Sleeps through `parking`, having given up whatever other threads need.
    ///
    /// # Errors
    /// The error of [`Parking::park`].
    fn park(&self, parking: &mut Parking) -> io::Result<()> {
        parking.park()
    }

    /// Called after each park, before anything of the turn runs; a signal may have arrived.
    ///
    /// # Errors
    /// What ends the run; the turn's entries stay in the queue.
    fn parked(&self) -> Result<(), Self::Break> {
        Ok(())
    }

    /// Called a moment before a callback runs, for what it will use to be fetched from memory.
    #[inline]
    fn runs_soon(_: &Self::Callback) {}

    /// Runs one callback.
    ///
    /// # Errors
    /// What ends the run; the rest of the turn stays in the queue.
    fn call(&self, callback: &Self::Callback) -> Result<(), Self::Break>;

    /// Called when a batch of callbacks has run, also when one of them ended the run: whatever
    /// they left to be done once a turn.
    ///
    /// # Errors
    /// What ends the run, unless a callback has ended it already.
    fn batch_ran(&self) -> Result<(), Self::Break> {
        Ok(())
    }
}

/// Runs turns until the loop is stopped.
///
/// # Errors
/// What a callback, a signal or a broken driver ended the run with. Nothing that was ready is
/// lost: it runs when the loop is run again.
pub fn run<D: Door>(door: &D) -> Result<(), D::Break> {
    door.with(EventLoop::begin_run);
    loop {
        let ran =
            if door.with(EventLoop::begin_busy_turn) { batch(door) } else { look_and_run(door) };
        let stopped = door.with(|event_loop| {
            // A run that breaks off is over, too: a stop that was asked for is not left behind
            // for the next one.
            std::mem::take(&mut event_loop.stopping)
        });
        if stopped || ran.is_err() {
            door.with(EventLoop::end_run);
            return ran;
        }
    }
}

/// One turn: park, collect, run what is ready. A stop that was asked for is left to the caller.
///
/// # Errors
/// As [`run`].
pub fn turn<D: Door>(door: &D) -> Result<(), D::Break> {
    door.with(EventLoop::begin_run);
    let ran = look_and_run(door);
    door.with(EventLoop::end_run);
    ran
}

fn look_and_run<D: Door>(door: &D) -> Result<(), D::Break> {
    door.looks()?;
    let mut parking = door.with(EventLoop::begin_park);
    let parked = door.park(&mut parking);
    let mut woken = door.with(|event_loop| event_loop.end_park(parking, &parked));
    for waker in woken.drain(..) {
        waker.wake();
    }
    door.with(|event_loop| event_loop.begin_turn(woken));
    if let Err(error) = parked
        && error.kind() != io::ErrorKind::Interrupted
    {
        return Err(error.into());
    }
    match door.parked() {
        Ok(()) => batch(door),
        // A signal handler, too, may leave something to be done once a turn.
        Err(broken) => broken_off(door, broken),
    }
}

/// Runs what is ready, then what is left to be done once a turn.
#[inline]
fn batch<D: Door>(door: &D) -> Result<(), D::Break> {
    let next = |event_loop: &mut EventLoop<D::Callback>| {
        if let Some(Ready::Callback(soon)) = event_loop.ready.soon() {
            D::runs_soon(soon);
        }
        event_loop.ready.next_of_turn()
    };
    while let Some(entry) = door.with(next) {
        match entry {
            // Lent, not moved out of the entry, which would be put together again for that.
            Ready::Callback(ref callback) => {
                if let Err(broken) = door.call(callback) {
                    drop(entry);
                    return broken_off(door, broken);
                }
            }
            Ready::Task(runnable) => {
                runnable.run();
            }
        }
    }
    door.batch_ran()
}

/// Ends a batch that something broke off.
#[cold]
fn broken_off<D: Door>(door: &D, broken: D::Break) -> Result<(), D::Break> {
    // The first reason to end the run is the one that is told.
    drop(door.batch_ran());
    Err(broken)
}
