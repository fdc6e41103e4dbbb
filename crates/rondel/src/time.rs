//! Time: sleeping until a deadline, and giving up at one.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use rondel_engine::TimerKey;
use rondel_engine::clock::Instant;

use crate::current::Current;

/// The time on the running loop's clock, as `loop.time()`: monotonic, and a test's to move under
/// [`Runner::with_clock`](crate::Runner::with_clock).
///
/// # Panics
/// With "no running event loop" outside one.
#[track_caller]
pub fn time() -> Instant {
    Current::running().now()
}

/// Completes after `delay`, counted from its first poll, and lets other tasks run meanwhile; with
/// no delay, it lets them run once.
///
/// ```
/// # rondel::run(async {
/// let before = rondel::time();
/// rondel::sleep(std::time::Duration::from_millis(5)).await;
/// assert!(rondel::time() - before >= std::time::Duration::from_millis(5));
/// # });
/// ```
pub fn sleep(delay: Duration) -> Sleep {
    Sleep { until: Until::After(delay), timer: None }
}

/// Completes when the loop's clock ([`time`]) has reached `deadline`; if it has already, other
/// tasks run once before.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { until: Until::At(deadline), timer: None }
}

/// Lets everything run that is ready now, as `asyncio.sleep(0)` does.
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`sleep`] and [`sleep_until`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    until: Until,
    timer: Option<Timer>,
}

#[derive(Clone, Copy, Debug)]
enum Until {
    After(Duration),
    At(Instant),
    /// There is nothing to wait for: this is the one turn that others get.
    NextTurn,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = match self.until {
            Until::At(deadline) => deadline,
            Until::NextTurn => return Poll::Ready(()),
            Until::After(delay) if delay.is_zero() => {
                self.until = Until::NextTurn;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Until::After(delay) => Current::running().now().saturating_add(delay),
        };
        let first = self.timer.is_none();
        if first {
            self.until = Until::At(deadline);
        }
        if !Timer::poll(&mut self.timer, deadline, cx) {
            return Poll::Pending;
        }
        if first {
            self.until = Until::NextTurn;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

/// A timer that is set in a loop, and cancelled when dropped.
#[derive(Debug)]
struct Timer {
    current: Rc<Current>,
    key: TimerKey,
    waker: Waker,
}

impl Timer {
    /// Whether `deadline` has come; if not, `slot` holds a timer that wakes the task then.
    fn poll(slot: &mut Option<Self>, deadline: Instant, cx: &Context<'_>) -> bool {
        let current = Current::running();
        if current.now() >= deadline {
            *slot = None;
            return true;
        }
        let set = slot.as_ref().is_some_and(|timer| {
            Rc::ptr_eq(&timer.current, &current) && timer.waker.will_wake(cx.waker())
        });
        if !set {
            *slot = None;
            let waker = cx.waker().clone();
            let key = current.set_timer(deadline, &waker);
            *slot = Some(Self { current, key, waker });
        }
        false
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.current.cancel_timer(self.key);
    }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Gives `future` at most `limit`, counted from the first poll, as `asyncio.wait_for`. Too late,
/// the future is dropped, and with it what it holds, before [`Elapsed`] is returned.
///
/// The future is polled at least once, and its result wins over a deadline that comes in the same
/// turn.
///
/// ```
/// use std::time::Duration;
///
/// # rondel::run(async {
/// let slow = rondel::sleep(Duration::from_secs(3600));
/// assert!(rondel::timeout(Duration::from_millis(5), slow).await.is_err());
/// assert_eq!(rondel::timeout(Duration::from_secs(3600), async { 42 }).await, Ok(42));
/// # });
/// ```
pub fn timeout<F: Future>(limit: Duration, future: F) -> Timeout<F> {
    Timeout { future: Some(future), until: Until::After(limit), timer: None }
}

pin_project! {
    /// The future of [`timeout`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct Timeout<F> {
        #[pin]
        future: Option<F>,
        until: Until,
        timer: Option<Timer>,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let deadline = match *this.until {
            Until::After(limit) => Current::running().now().saturating_add(limit),
            Until::At(deadline) => deadline,
            Until::NextTurn => panic!("a timeout was polled after it had given its result"),
        };
        *this.until = Until::At(deadline);
        if let Some(future) = this.future.as_mut().as_pin_mut()
            && let Poll::Ready(output) = future.poll(cx)
        {
            *this.until = Until::NextTurn;
            *this.timer = None;
            return Poll::Ready(Ok(output));
        }
        ready!(if Timer::poll(this.timer, deadline, cx) { Poll::Ready(()) } else { Poll::Pending });
        *this.until = Until::NextTurn;
        this.future.set(None);
        Poll::Ready(Err(Elapsed))
    }
}

/// The deadline of a [`timeout`] has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timed out")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    /// An error of kind `TimedOut`.
    fn from(elapsed: Elapsed) -> Self {
        Self::new(io::ErrorKind::TimedOut, elapsed)
    }
}
