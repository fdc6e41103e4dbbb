//! Tasks: futures that the loop runs by themselves.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;
use slab::Slab;

use crate::JoinError;
use crate::current::Current;

/// Starts `future` as a task of the running loop, as `asyncio.create_task`: its first step is
/// taken when the loop comes to it, not here.
///
/// The future need not be `Send`. The task runs to its end whether or not the [`Task`] is kept;
/// what is left when [`run`](crate::run) ends is cancelled. A panic ends this task alone and
/// surfaces where it is awaited.
///
/// ```
/// # rondel::run(async {
/// let task = rondel::create_task(async { 6 * 7 });
/// assert!(!task.done());
/// assert_eq!(task.await?, 42);
/// # Ok::<(), rondel::JoinError>(())
/// # }).unwrap();
/// ```
///
/// # Panics
/// With "no running event loop" outside one.
#[track_caller]
pub fn create_task<F>(future: F) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    static CREATED: AtomicU64 = AtomicU64::new(0);
    let current = Current::running();
    let shared = Rc::new(Shared {
        number: CREATED.fetch_add(1, Ordering::Relaxed) + 1,
        name: RefCell::default(),
        outcome: RefCell::new(Outcome::Pending),
        awaiter: RefCell::default(),
        cancelling: Cell::new(false),
        seat: current.tasks.seat(),
        current: Rc::downgrade(&current),
    });
    let body = Body { future: Some(future), shared: Rc::clone(&shared), current: current.clone() };
    let schedule = current.with(|event_loop| event_loop.scheduler());
    let (runnable, task) = async_task::spawn_local(body, schedule);
    current.tasks.sit(shared.seat, task);
    runnable.schedule();
    Task { shared }
}

/// A task that was created. Awaiting it gives its output; dropping it lets the task go on by
/// itself.
pub struct Task<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Task<T> {
    /// Asks that the task be cancelled, and returns whether it was not yet done.
    ///
    /// The task stops at the `await` where it is waiting (it is not begun if it has not run yet):
    /// in the next turn of the loop its future is dropped, on the loop's thread, and with it
    /// everything that it holds. Awaiting it then gives [`JoinError::Cancelled`]. A task that
    /// cancels itself and comes to its end without waiting again is cancelled, too.
    pub fn cancel(&self) -> bool {
        self.shared.cancel()
    }

    /// Whether the task has returned, panicked or been cancelled.
    pub fn done(&self) -> bool {
        self.shared.done()
    }

    /// The task's name: "Task-" and a number, unless it was given another.
    pub fn name(&self) -> String {
        self.shared.name()
    }

    /// Gives the task another name.
    pub fn set_name(&self, name: impl Into<String>) {
        self.shared.name.replace(Some(name.into()));
    }

    /// What can cancel this task while it is awaited elsewhere.
    pub fn canceller(&self) -> Canceller
    where
        T: 'static,
    {
        Canceller { task: Rc::downgrade(&self.shared) as Weak<dyn Cancel> }
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut outcome = self.shared.outcome.borrow_mut();
        match std::mem::replace(&mut *outcome, Outcome::Taken) {
            Outcome::Done(result) => Poll::Ready(result),
            Outcome::Pending => {
                *outcome = Outcome::Pending;
                drop(outcome);
                let replaced = self.shared.awaiter.replace(Some(cx.waker().clone()));
                drop(replaced);
                Poll::Pending
            }
            Outcome::Taken => panic!("a task was awaited after it had given its result"),
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("name", &self.name())
            .field("done", &self.done())
            .finish_non_exhaustive()
    }
}

/// Cancels a task that somebody else awaits.
#[derive(Clone)]
pub struct Canceller {
    task: Weak<dyn Cancel>,
}

impl Canceller {
    /// As [`Task::cancel`].
    pub fn cancel(&self) -> bool {
        self.task.upgrade().is_some_and(|task| task.cancel())
    }

    /// As [`Task::done`].
    pub fn done(&self) -> bool {
        self.task.upgrade().is_none_or(|task| task.done())
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canceller").field("done", &self.done()).finish()
    }
}

trait Cancel {
    fn cancel(&self) -> bool;
    fn done(&self) -> bool;
}

/// What a task's handle and its body both see.
struct Shared<T> {
    number: u64,
    name: RefCell<Option<String>>,
    outcome: RefCell<Outcome<T>>,
    awaiter: RefCell<Option<Waker>>,
    /// Whether cancellation was asked for.
    cancelling: Cell<bool>,
    seat: usize,
    current: Weak<Current>,
}

enum Outcome<T> {
    Pending,
    Done(Result<T, JoinError>),
    Taken,
}

impl<T> Shared<T> {
    fn name(&self) -> String {
        self.name.borrow().clone().unwrap_or_else(|| format!("Task-{}", self.number))
    }
}

impl<T> Cancel for Shared<T> {
    fn cancel(&self) -> bool {
        if self.done() {
            return false;
        }
        self.cancelling.set(true);
        if let Some(current) = self.current.upgrade() {
            current.tasks.cancel(self.seat);
        }
        true
    }

    fn done(&self) -> bool {
        !matches!(*self.outcome.borrow(), Outcome::Pending)
    }
}

pin_project! {
    /// The future of a task, and around it what keeps its panics to itself.
    struct Body<F: Future> {
        #[pin]
        future: Option<F>,
        shared: Rc<Shared<F::Output>>,
        current: Rc<Current>,
    }

    impl<F: Future> PinnedDrop for Body<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                let dropped = catch_unwind(AssertUnwindSafe(|| this.future.set(None)));
                let error = dropped.map_or_else(JoinError::Panicked, |()| JoinError::Cancelled);
                finish(this.shared, this.current, Err(error));
            }
        }
    }
}

impl<F: Future> Future for Body<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        this.current.refill_budget();
        let step = catch_unwind(AssertUnwindSafe(|| match this.future.as_mut().as_pin_mut() {
            Some(future) => future.poll(cx),
            None => Poll::Pending,
        }));
        let mut result = match step {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(panic) => Err(JoinError::Panicked(panic)),
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| this.future.set(None))) {
            drop_quietly(std::mem::replace(&mut result, Err(JoinError::Panicked(panic))));
        } else if result.is_ok() && this.shared.cancelling.get() {
            drop_quietly(std::mem::replace(&mut result, Err(JoinError::Cancelled)));
        }
        finish(this.shared, this.current, result);
        Poll::Ready(())
    }
}

/// Records how a task ended, takes it off the books and wakes who awaits it.
fn finish<T>(shared: &Rc<Shared<T>>, current: &Current, result: Result<T, JoinError>) {
    current.tasks.leave(shared.seat);
    if Rc::strong_count(shared) == 1 {
        // Nobody can ask for it any more.
        shared.outcome.replace(Outcome::Taken);
        drop_quietly(result);
        return;
    }
    shared.outcome.replace(Outcome::Done(result));
    let awaiter = shared.awaiter.take();
    if let Some(awaiter) = awaiter {
        awaiter.wake();
    }
}

/// Drops what is of no use to anybody, and with it a panic of its destructor, which the panic
/// hook has reported.
fn drop_quietly<T>(value: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
}

/// The tasks of a loop that are not done. A task leaves its seat when its future is gone; one that
/// is being cancelled keeps an empty one until then.
#[derive(Default)]
pub(crate) struct Registry {
    seats: RefCell<Slab<Option<async_task::Task<()>>>>,
}

impl Registry {
    fn seat(&self) -> usize {
        self.seats.borrow_mut().insert(None)
    }

    fn sit(&self, seat: usize, task: async_task::Task<()>) {
        if let Some(taken) = self.seats.borrow_mut().get_mut(seat) {
            *taken = Some(task);
        }
    }

    fn leave(&self, seat: usize) {
        if let Some(task) = self.seats.borrow_mut().try_remove(seat).flatten() {
            task.detach();
        }
    }

    fn cancel(&self, seat: usize) {
        let task = self.seats.borrow_mut().get_mut(seat).and_then(Option::take);
        // Dropping what async-task hands out cancels: the task becomes ready, to be dropped.
        drop(task);
    }

    pub(crate) fn cancel_all(&self) {
        let tasks: Vec<_> =
            self.seats.borrow_mut().iter_mut().filter_map(|(_, task)| task.take()).collect();
        drop(tasks);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.seats.borrow().is_empty()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("tasks", &self.seats.borrow().len()).finish()
    }
}
