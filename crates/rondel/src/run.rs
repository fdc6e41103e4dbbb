//! Running a loop, from the first step of the main future to the last destructor.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use rondel_engine::clock::{Clock, MockClock};
use rondel_engine::inject::Inbox;
use rondel_engine::{Door, EventLoop, Ready};

use crate::current::{Current, MainStep};

/// Runs `main` on a new event loop in this thread and returns its output, as `asyncio.run` does.
///
/// `main` may borrow from its caller and need not be `Send`. When it is done, the tasks that are
/// left are cancelled, and the destructors of what they held have run when this returns; the
/// threads of [`to_thread`](crate::to_thread) are waited for. Other threads can run loops of their
/// own at the same time.
///
/// ```
/// let answer = rondel::run(async { 6 * 7 });
/// assert_eq!(answer, 42);
/// ```
///
/// # Panics
/// With the panic of `main`, after the clean-up. If this thread is running a loop already, or the
/// system is out of descriptors (see [`Runner::new`] for that as an error).
#[track_caller]
pub fn run<F: Future>(main: F) -> F::Output {
    refuse_nesting();
    let mut runner = match Runner::new() {
        Ok(runner) => runner,
        Err(error) => panic!("the event loop could not be made: {error}"),
    };
    let outcome = runner.drive(main);
    drop(runner);
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

#[track_caller]
fn refuse_nesting() {
    assert!(
        Current::get().is_none(),
        "rondel::run() cannot be called from a running event loop; await the future, or give it \
         to create_task()"
    );
}

/// A loop that runs several main futures, one after the other, as `asyncio.Runner`.
///
/// Tasks that one of them leaves behind go on when the next one runs. Dropping the runner cancels
/// what is left, like the end of [`run`](crate::run).
///
/// ```
/// let mut runner = rondel::Runner::new()?;
/// let task = runner.run(async { rondel::create_task(async { 42 }) });
/// assert_eq!(runner.run(task)?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Runner {
    current: Rc<Current>,
}

impl Runner {
    /// A loop with nothing to do yet.
    ///
    /// # Errors
    /// Those of `epoll_create1(2)` and `eventfd(2)`: out of descriptors or memory.
    pub fn new() -> io::Result<Self> {
        Current::new(Clock::Monotonic).map(|current| Self { current })
    }

    /// A loop for tests, whose time stands still until nothing else is left to do, and then jumps
    /// to the next deadline: an hour's sleep takes no time, and none is ever a little too long.
    ///
    /// Work in threads is nothing that such a loop waits for before it jumps.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let clock = rondel::MockClock::default();
    /// let mut runner = rondel::Runner::with_clock(clock.clone())?;
    /// runner.run(rondel::sleep(Duration::from_secs(3600)));
    /// assert_eq!(clock.now(), rondel::Instant::from_nanos(3_600_000_000_000));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Runner::new`].
    pub fn with_clock(clock: MockClock) -> io::Result<Self> {
        Current::new(Clock::Mock(clock)).map(|current| Self { current })
    }

    /// Has the loop look for what arrives for up to `limit` before it sleeps; zero, which it begins
    /// with: not at all.
    ///
    /// Where answers are a matter of microseconds this saves the time that the kernel takes to wake
    /// a sleeper, and costs a processor that is busy meanwhile. While most waits turn out to be
    /// longer than that, the loop does not spin. 50 microseconds are a good choice
    /// ([`DEFAULT_SPIN`](crate::DEFAULT_SPIN)). A loop on a [`MockClock`] never spins.
    ///
    /// ```
    /// let mut runner = rondel::Runner::new()?;
    /// runner.set_spin(rondel::DEFAULT_SPIN);
    /// assert_eq!(runner.run(async { 6 * 7 }), 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_spin(&mut self, limit: Duration) {
        self.current.with(|event_loop| event_loop.set_spin(limit));
    }

    /// Runs `main` and returns its output.
    ///
    /// # Panics
    /// With the panic of `main`. If this thread is running a loop already.
    #[track_caller]
    pub fn run<F: Future>(&mut self, main: F) -> F::Output {
        refuse_nesting();
        self.drive(main).unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn drive<F: Future>(&mut self, main: F) -> thread::Result<F::Output> {
        let entered = self.current.enter();
        let main = pin!(Some(main));
        let waker = Arc::new(MainWaker {
            inbox: self.current.with(|event_loop| Arc::clone(event_loop.inbox())),
            queued: AtomicBool::new(false),
        });
        Wake::wake_by_ref(&waker);
        let session = Session {
            current: &self.current,
            main: RefCell::new(main),
            polling: Waker::from(Arc::clone(&waker)),
            waker,
            outcome: RefCell::new(None),
        };
        let ran = rondel_engine::run(&session);
        // What a finished future still holds is dropped while its loop is there.
        let dropped = catch_unwind(AssertUnwindSafe(|| session.main.borrow_mut().set(None)));
        drop(entered);
        match (session.outcome.into_inner(), ran, dropped) {
            (Some(Ok(_)), _, Err(panic)) | (Some(Err(panic)), ..) => Err(panic),
            (Some(output), ..) => output,
            (None, Err(error), _) => panic!("the event loop failed: {error}"),
            (None, Ok(()), _) => unreachable!("only the end of the main future stops the loop"),
        }
    }
}

impl Drop for Runner {
    /// Cancels all tasks and waits for them, then for the default executor.
    fn drop(&mut self) {
        let current = &self.current;
        let _entered = current.enter();
        loop {
            // Cancelled tasks become ready one last time, to be dropped. Their destructors may
            // create tasks, which the next round cancels before their first step.
            current.tasks.cancel_all();
            let remains = current.with(EventLoop::take_all);
            drop(remains.notify);
            let mut ran = false;
            for entry in remains.ready {
                if let Ready::Task(runnable) = entry {
                    runnable.run();
                    ran = true;
                }
            }
            if current.tasks.is_empty() {
                break;
            }
            if !ran {
                // Another thread is just waking a task, between its mark and its push.
                thread::yield_now();
            }
        }
        current.shut_pools_down();
    }
}

/// Wakes the main future, from any thread.
struct MainWaker {
    inbox: Arc<Inbox<Ready<MainStep>>>,
    /// Whether a step is in the queue, where one is enough.
    queued: AtomicBool,
}

impl Wake for MainWaker {
    fn wake(self: Arc<Self>) {
        Wake::wake_by_ref(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.inbox.push(Ready::Callback(MainStep));
        }
    }
}

/// One main future and its loop, while they run.
struct Session<'a, F: Future> {
    current: &'a Rc<Current>,
    main: RefCell<Pin<&'a mut Option<F>>>,
    waker: Arc<MainWaker>,
    /// The same as what polls see.
    polling: Waker,
    outcome: RefCell<Option<thread::Result<F::Output>>>,
}

impl<F: Future> Door for Session<'_, F> {
    type Callback = MainStep;
    type Break = io::Error;

    fn with<R>(&self, f: impl FnOnce(&mut EventLoop<MainStep>) -> R) -> R {
        self.current.with(f)
    }

    fn call(&self, _: &MainStep) -> io::Result<()> {
        // A step may be left over from the Runner's previous main future, or come after the end.
        self.waker.queued.store(false, Ordering::Release);
        if self.outcome.borrow().is_some() {
            return Ok(());
        }
        self.current.refill_budget();
        let mut main = self.main.borrow_mut();
        let step = catch_unwind(AssertUnwindSafe(|| match main.as_mut().as_pin_mut() {
            Some(main) => main.poll(&mut Context::from_waker(&self.polling)),
            None => Poll::Pending,
        }));
        let outcome = match step {
            Ok(Poll::Pending) => return Ok(()),
            Ok(Poll::Ready(output)) => Ok(output),
            Err(panic) => Err(panic),
        };
        self.outcome.replace(Some(outcome));
        self.current.with(EventLoop::stop);
        Ok(())
    }
}
