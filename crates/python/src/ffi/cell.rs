//! State that belongs to whoever is attached to the interpreter.

use std::cell::{Cell, UnsafeCell};

use pyo3::Python;

/// A cell whose content only an attached thread can reach, and only one borrow at a time.
///
/// With a GIL, being attached excludes every other thread, so the borrow flag alone keeps order
/// and a borrow costs a load and two stores. On a free-threaded interpreter a mutex stands in for
/// the GIL.
pub(crate) struct AttachedCell<T> {
    value: UnsafeCell<T>,
    borrowed: Cell<bool>,
    #[cfg(Py_GIL_DISABLED)]
    owner: Owner,
}

// SAFETY: `with` and `try_with` are the only ways in. Both demand an attached thread, and attached
// threads exclude each other: by the GIL, or by `owner` where there is none. Neither the flag nor
// the value is reached in any other way, and `T: Send` lets the value be used by one thread after
// the other.
unsafe impl<T: Send> Sync for AttachedCell<T> {}

impl<T> AttachedCell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            value: UnsafeCell::new(value),
            borrowed: Cell::new(false),
            #[cfg(Py_GIL_DISABLED)]
            owner: Owner::default(),
        }
    }

    /// Lends the content to `f`, which must neither run Python code (dropping a reference can) nor
    /// detach: that could come back here, and panics.
    #[inline(always)]
    pub(crate) fn with<R>(&self, py: Python<'_>, f: impl FnOnce(&mut T) -> R) -> R {
        #[allow(clippy::panic)] // a mistake of ours, which must not go on as aliased state
        self.try_with(py, f).unwrap_or_else(|| panic!("state is borrowed already"))
    }

    /// As `with`, but `None` where the content is lent out already.
    #[inline(always)]
    pub(crate) fn try_with<R>(&self, _py: Python<'_>, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.borrow(f)
    }

    /// For the garbage collector, which runs on an attached thread but is given no token. Without
    /// a GIL it stops all other threads, also one that is in here: it must not wait for that.
    pub(crate) fn visit<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        #[cfg(Py_GIL_DISABLED)]
        if !self.owner.is_free() {
            return None;
        }
        self.borrow(f)
    }

    #[inline(always)]
    fn borrow<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        #[cfg(Py_GIL_DISABLED)]
        let _owned = self.owner.lock()?;
        if self.borrowed.replace(true) {
            return None;
        }
        let _reset = Reset(&self.borrowed);
        // SAFETY: the flag was clear, so no other reference to the content exists, and it stays
        // set until this one is gone; other threads are excluded as the `Sync` impl says.
        Some(f(unsafe { &mut *self.value.get() }))
    }
}

impl<T: Default> Default for AttachedCell<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

/// Clears the flag also when the borrower panics.
struct Reset<'a>(&'a Cell<bool>);

impl Drop for Reset<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// Stands in for the GIL where there is none: a lock that knows its holder, so that coming back on
/// the same thread is refused and does not wait for itself.
#[cfg(Py_GIL_DISABLED)]
#[derive(Default)]
struct Owner {
    lock: std::sync::Mutex<()>,
    /// The address of the holder's `HERE`, or zero.
    holder: std::sync::atomic::AtomicUsize,
}

#[cfg(Py_GIL_DISABLED)]
struct Owned<'a> {
    owner: &'a Owner,
    _guard: std::sync::MutexGuard<'a, ()>,
}

#[cfg(Py_GIL_DISABLED)]
impl Owner {
    fn lock(&self) -> Option<Owned<'_>> {
        use std::sync::atomic::Ordering::Relaxed;
        thread_local!(static HERE: u8 = const { 0 });
        let here = HERE.with(|here| std::ptr::from_ref(here).addr());
        // Only this thread can have put its own address there, so no order is needed.
        if self.holder.load(Relaxed) == here {
            return None;
        }
        let guard = self.lock.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.holder.store(here, Relaxed);
        Some(Owned { owner: self, _guard: guard })
    }

    fn is_free(&self) -> bool {
        self.holder.load(std::sync::atomic::Ordering::Relaxed) == 0
    }
}

#[cfg(Py_GIL_DISABLED)]
impl Drop for Owned<'_> {
    fn drop(&mut self) {
        self.owner.holder.store(0, std::sync::atomic::Ordering::Relaxed);
    }
}
