//! Awaiting several futures at once.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Awaits all of its arguments at once and gives their outputs as a tuple, in the order of the
/// arguments, as `asyncio.gather`.
///
/// The futures may be of different types and may borrow: they run within the task that awaits
/// them, up to twelve of them (for more, or a number known at run time, see [`gather()`]). All run
/// to their end: an output that is an `Err` stops nobody, like asyncio's `return_exceptions=True`;
/// dropping the whole drops them all. A panic in one goes through and drops the others; a
/// [`Task`](crate::Task) in its place would contain it.
///
/// ```
/// # rondel::run(async {
/// let name = String::from("rondel");
/// let (length, upper) = rondel::gather!(async { name.len() }, async { name.to_uppercase() }).await;
/// assert_eq!((length, upper.as_str()), (6, "RONDEL"));
/// # });
/// ```
#[macro_export]
macro_rules! gather {
    ($($future:expr),* $(,)?) => {
        $crate::Together::together(($($future,)*))
    };
}

/// Tuples of futures, for [`gather!`](crate::gather!).
pub trait Together {
    /// The tuple of their outputs.
    type Outputs;

    /// Awaits them all.
    fn together(self) -> impl Future<Output = Self::Outputs>;
}

impl Together for () {
    type Outputs = ();

    async fn together(self) {}
}

macro_rules! impl_together {
    ($($name:ident)+) => {
        impl<$($name: IntoFuture),+> Together for ($($name,)+) {
            type Outputs = ($($name::Output,)+);

            #[allow(non_snake_case)] // the names of type parameters serve as those of variables
            async fn together(self) -> Self::Outputs {
                let ($($name,)+) = self;
                $(let mut $name = pin!(Slot::Running { future: $name.into_future() });)+
                std::future::poll_fn(|cx| {
                    $($name.as_mut().poll(cx);)+
                    if $($name.is_done())&&+
                        && let ($(Some($name),)+) = ($($name.as_mut().take(),)+)
                    {
                        return Poll::Ready(($($name,)+));
                    }
                    Poll::Pending
                })
                .await
            }
        }
    };
}

impl_together! { A }
impl_together! { A B }
impl_together! { A B C }
impl_together! { A B C D }
impl_together! { A B C D E }
impl_together! { A B C D E F }
impl_together! { A B C D E F G }
impl_together! { A B C D E F G H }
impl_together! { A B C D E F G H I }
impl_together! { A B C D E F G H I J }
impl_together! { A B C D E F G H I J K }
impl_together! { A B C D E F G H I J K L }

pin_project_lite::pin_project! {
    /// A future, then its output.
    #[project = SlotProjection]
    #[project_replace = SlotTaken]
    enum Slot<F: Future> {
        Running { #[pin] future: F },
        Done { output: F::Output },
        Taken,
    }
}

impl<F: Future> Slot<F> {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) {
        if let SlotProjection::Running { future } = self.as_mut().project()
            && let Poll::Ready(output) = future.poll(cx)
        {
            self.set(Self::Done { output });
        }
    }

    const fn is_done(&self) -> bool {
        matches!(self, Self::Done { .. })
    }

    fn take(self: Pin<&mut Self>) -> Option<F::Output> {
        match self.project_replace(Self::Taken) {
            SlotTaken::Done { output } => Some(output),
            _ => None,
        }
    }
}

/// Awaits all of `futures` at once and gives their outputs in the same order; [`gather!`] for any
/// number of futures of one type.
///
/// A wake-up polls the futures that were woken, not all of them, so ten thousand are fine.
///
/// ```
/// # rondel::run(async {
/// let squares = rondel::gather((1..=3).map(|number| async move { number * number })).await;
/// assert_eq!(squares, [1, 4, 9]);
/// # });
/// ```
///
/// [`gather!`]: crate::gather!
pub fn gather<I>(futures: I) -> Gather<<I::Item as IntoFuture>::IntoFuture>
where
    I: IntoIterator,
    I::Item: IntoFuture,
{
    let woken = Arc::new(Woken::default());
    let children: Vec<_> = futures
        .into_iter()
        .enumerate()
        .map(|(index, future)| {
            let waker = Arc::new(ChildWaker {
                index,
                queued: AtomicBool::new(true),
                woken: Arc::clone(&woken),
            });
            Child { slot: Box::pin(Slot::Running { future: future.into_future() }), waker }
        })
        .collect();
    woken.lock().indices.extend(0..children.len());
    Gather { running: children.len(), children, woken }
}

/// The future of [`gather()`].
#[must_use = "futures do nothing unless awaited"]
pub struct Gather<F: Future> {
    children: Vec<Child<F>>,
    running: usize,
    woken: Arc<Woken>,
}

struct Child<F: Future> {
    slot: Pin<Box<Slot<F>>>,
    waker: Arc<ChildWaker>,
}

/// The children that are to be polled, and whom to wake for that.
#[derive(Default)]
struct Woken(Mutex<WokenState>);

#[derive(Default)]
struct WokenState {
    indices: Vec<usize>,
    parent: Option<Waker>,
}

impl Woken {
    fn lock(&self) -> MutexGuard<'_, WokenState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct ChildWaker {
    index: usize,
    /// Whether the child is among those to be polled.
    queued: AtomicBool,
    woken: Arc<Woken>,
}

impl Wake for ChildWaker {
    fn wake(self: Arc<Self>) {
        Wake::wake_by_ref(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut state = self.woken.lock();
        state.indices.push(self.index);
        let parent = state.parent.take();
        drop(state);
        if let Some(parent) = parent {
            parent.wake();
        }
    }
}

impl<F: Future> Future for Gather<F> {
    type Output = Vec<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut state = this.woken.lock();
        // Those that are woken while these are polled wait for the next turn.
        let indices = std::mem::take(&mut state.indices);
        let replaced = state.parent.replace(cx.waker().clone());
        drop(state);
        drop(replaced);
        for index in indices {
            let child = &mut this.children[index];
            child.waker.queued.store(false, Ordering::Release);
            if child.slot.is_done() {
                continue;
            }
            let waker = Waker::from(Arc::clone(&child.waker));
            child.slot.as_mut().poll(&mut Context::from_waker(&waker));
            this.running -= usize::from(child.slot.is_done());
        }
        if this.running > 0 {
            return Poll::Pending;
        }
        let children = std::mem::take(&mut this.children);
        Poll::Ready(
            children.into_iter().filter_map(|mut child| child.slot.as_mut().take()).collect(),
        )
    }
}

impl<F: Future> std::fmt::Debug for Gather<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gather")
            .field("futures", &self.children.len())
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}
