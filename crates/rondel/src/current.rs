//! The loop of this thread, as the rest of the crate sees it.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rondel_engine::clock::{Clock, Instant};
use rondel_engine::offload::{Options, ThreadPool};
use rondel_engine::{Direction, EventLoop, Notify, TimerKey};

use crate::loop_handle::Mailbox;
use crate::task::Registry;

/// What stands in the ready queue beside tasks: a step of the future that [`run`](crate::run) was
/// given. It borrows from its caller, so it cannot be a task, and yet takes its turn like one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MainStep;

/// As many operations as one step of a task may do on sockets that are always ready, before
/// everybody else gets a turn.
const BUDGET: u8 = 128;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Current>>> = const { RefCell::new(None) };
}

/// A loop and what belongs to it. Futures and sockets that registered something with a loop hold
/// on to it, so that they take back from this one what they gave it, whichever is running then.
pub(crate) struct Current {
    event_loop: RefCell<EventLoop<MainStep>>,
    pub(crate) tasks: Registry,
    default_executor: OnceCell<ThreadPool>,
    resolver: OnceCell<ThreadPool>,
    mailbox: OnceCell<Arc<Mailbox>>,
    budget: Cell<u8>,
}

impl Current {
    pub(crate) fn new(clock: Clock) -> io::Result<Rc<Self>> {
        Ok(Rc::new(Self {
            event_loop: RefCell::new(EventLoop::new(clock)?),
            tasks: Registry::default(),
            default_executor: OnceCell::new(),
            resolver: OnceCell::new(),
            mailbox: OnceCell::new(),
            budget: Cell::new(BUDGET),
        }))
    }

    /// The loop that this thread is running, if it is.
    pub(crate) fn get() -> Option<Rc<Self>> {
        // While thread-locals are being destroyed there is no loop any more.
        CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
    }

    /// The loop that this thread is running.
    ///
    /// # Panics
    /// If it runs none: what calls this needs one, as in asyncio.
    #[track_caller]
    pub(crate) fn running() -> Rc<Self> {
        match Self::get() {
            Some(current) => current,
            None => panic!("no running event loop"),
        }
    }

    /// Makes this the loop of the thread until the guard is dropped.
    pub(crate) fn enter(self: &Rc<Self>) -> Entered {
        Entered { outer: CURRENT.replace(Some(Rc::clone(self))) }
    }

    /// Lends the engine's loop to `f`, which must not run or drop what may be the user's.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut EventLoop<MainStep>) -> R) -> R {
        f(&mut self.event_loop.borrow_mut())
    }

    pub(crate) fn now(&self) -> Instant {
        self.event_loop.borrow().now()
    }

    pub(crate) fn set_timer(&self, deadline: Instant, waker: &Waker) -> TimerKey {
        let entry = Notify::Waker(waker.clone());
        self.with(|event_loop| event_loop.set_timer(deadline, entry))
    }

    pub(crate) fn cancel_timer(&self, key: TimerKey) {
        let cancelled = self.with(|event_loop| event_loop.cancel_timer(key));
        drop(cancelled); // outside the borrow: a foreign Waker may do anything when dropped
    }

    /// Has `waker` woken once `fd` is ready, in place of whoever waited for that before.
    pub(crate) fn watch(&self, fd: RawFd, direction: Direction, waker: &Waker) -> io::Result<()> {
        let waiter = Notify::Waker(waker.clone());
        let replaced = self.with(|event_loop| {
            if let Some(Notify::Waker(waiting)) = event_loop.waiter(fd, direction)
                && waiting.will_wake(waker)
            {
                return Ok(Some(waiter));
            }
            event_loop.watch(fd, direction, waiter)
        });
        replaced.map(drop)
    }

    pub(crate) fn unwatch(&self, fd: RawFd) {
        let waiters = self.with(|event_loop| {
            let reader = event_loop.unwatch(fd, Direction::Read);
            (reader, event_loop.unwatch(fd, Direction::Write))
        });
        drop(waiters);
    }

    /// The pool of [`to_thread`](crate::to_thread).
    pub(crate) fn default_executor(&self) -> &ThreadPool {
        self.default_executor.get_or_init(|| ThreadPool::new(Options::default()))
    }

    /// The pool in which names are resolved: its own, so that a full default executor never looks
    /// like a slow name server, and small, as `getaddrinfo(3)` does nothing but wait.
    pub(crate) fn resolver(&self) -> &ThreadPool {
        self.resolver.get_or_init(|| {
            ThreadPool::new(Options {
                max_threads: 4,
                name: "rondel-resolver".to_owned(),
                keep_alive: Duration::from_secs(10),
            })
        })
    }

    /// What other threads post to, once somebody has asked for it.
    pub(crate) fn mailbox(&self) -> &OnceCell<Arc<Mailbox>> {
        &self.mailbox
    }

    /// Waits for the default executor's work to end. A name that is still being resolved is of no
    /// use to anybody and holds nothing of the program's: that thread ends when it can.
    pub(crate) fn shut_pools_down(&self) {
        if let Some(pool) = self.default_executor.get() {
            pool.shutdown(true, false);
        }
        if let Some(pool) = self.resolver.get() {
            pool.shutdown(false, true);
        }
    }

    /// Called before each step of a task.
    pub(crate) fn refill_budget(&self) {
        self.budget.set(BUDGET);
    }

    /// Charges the running task one operation; when it has had its share, it is woken again behind
    /// everybody else.
    pub(crate) fn poll_budget(cx: &mut Context<'_>) -> Poll<()> {
        let left = CURRENT.with_borrow(|current| {
            let current = current.as_ref()?;
            let left = current.budget.get();
            current.budget.set(left.saturating_sub(1));
            Some(left)
        });
        if left == Some(0) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Current").field("tasks", &self.tasks).finish_non_exhaustive()
    }
}

/// Brings back, when dropped, the loop that was this thread's before.
pub(crate) struct Entered {
    outer: Option<Rc<Current>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let entered = CURRENT.replace(self.outer.take());
        drop(entered);
    }
}
