//! The loop as other threads see it: a mailbox, and a task that opens the letters.

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::current::Current;
use crate::executor::{Submitted, completing};
use crate::task::create_task;

type Letter = Box<dyn FnOnce() + Send>;

/// The running loop, for other threads to hand work to, as `asyncio.get_running_loop()`.
///
/// # Panics
/// With "no running event loop" outside one.
#[track_caller]
pub fn get_running_loop() -> LoopHandle {
    let current = Current::running();
    let mailbox = current.mailbox().get_or_init(|| {
        let mailbox = Arc::new(Mailbox::default());
        create_task(deliver(Delivery(Arc::clone(&mailbox))));
        mailbox
    });
    LoopHandle { mailbox: Arc::clone(mailbox) }
}

/// A loop, from any thread. It does not keep the loop running.
///
/// ```
/// # rondel::run(async {
/// let on_loop = rondel::get_running_loop();
/// let length = rondel::to_thread(move || {
///     // Blocking code that wants what only the loop can do.
///     let page = on_loop.create_task(|| async { String::from("<html>") });
///     page.result().map(|page| page.len())
/// });
/// assert_eq!(length.await?, 6);
/// # Ok::<(), rondel::JoinError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct LoopHandle {
    mailbox: Arc<Mailbox>,
}

impl LoopHandle {
    /// Has `f` called on the loop's thread, soon, as `loop.call_soon_threadsafe`. Calls from one
    /// thread are made in their order. A panic of `f` harms nobody.
    ///
    /// Returns whether the loop is still there; the call may come too late all the same.
    pub fn call_soon<F>(&self, f: F) -> bool
    where
        F: FnOnce() + Send + 'static,
    {
        self.mailbox.post(Box::new(f))
    }

    /// Starts on the loop the task whose future `f` makes there, as
    /// `asyncio.run_coroutine_threadsafe`. The future itself need not be `Send`.
    ///
    /// What is returned can be awaited on any loop, or waited for in a thread by
    /// [`Submitted::result`]: [`Cancelled`](crate::JoinError::Cancelled) when the loop ends first.
    pub fn create_task<F, A>(&self, f: F) -> Submitted<A::Output>
    where
        F: FnOnce() -> A + Send + 'static,
        A: Future + 'static,
        A::Output: Send + 'static,
    {
        let (completion, submitted) = completing();
        self.mailbox.post(Box::new(move || {
            if completion.begin() {
                let task = create_task(async move { f().await });
                create_task(async move { completion.end(task.await) });
            }
        }));
        submitted
    }
}

impl fmt::Debug for LoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.mailbox.lock().open;
        f.debug_struct("LoopHandle").field("open", &open).finish_non_exhaustive()
    }
}

pub(crate) struct Mailbox(Mutex<Letters>);

struct Letters {
    waiting: Vec<Letter>,
    reader: Option<Waker>,
    open: bool,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self(Mutex::new(Letters { waiting: Vec::new(), reader: None, open: true }))
    }
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Letters> {
        // Letters are opened, and dropped, without the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn post(&self, letter: Letter) -> bool {
        let mut letters = self.lock();
        if !letters.open {
            drop(letters);
            drop(letter);
            return false;
        }
        letters.waiting.push(letter);
        let reader = letters.reader.take();
        drop(letters);
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }
}

/// Opens the letters as they come, each in a task of its own, so that none can break another.
async fn deliver(delivery: Delivery) {
    loop {
        let letters = poll_fn(|cx| {
            let mut letters = delivery.0.lock();
            if letters.waiting.is_empty() {
                letters.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(std::mem::take(&mut letters.waiting))
        })
        .await;
        for letter in letters {
            create_task(async move { letter() });
        }
    }
}

/// Closes the mailbox when its task is cancelled, at the end of the loop; what is still in there
/// is dropped on the loop's thread.
struct Delivery(Arc<Mailbox>);

impl Drop for Delivery {
    fn drop(&mut self) {
        let mut letters = self.0.lock();
        letters.open = false;
        let unread = std::mem::take(&mut letters.waiting);
        drop(letters);
        drop(unread);
    }
}
