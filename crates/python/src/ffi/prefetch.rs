//! Bringing memory into the cache before it is used.

use pyo3::Py;

/// An object of this size or less is brought in whole; of a larger one, what comes first.
const BYTES: usize = 192;
const CACHE_LINE: usize = 64;

/// Has the processor fetch an object that will be used in a moment, and go on meanwhile.
#[inline]
pub(crate) fn object<T>(object: &Py<T>) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let begin = object.as_ptr().cast::<i8>();
        for offset in (0..BYTES).step_by(CACHE_LINE) {
            // SAFETY: a hint, which every processor of this architecture has; it reads nothing and
            // cannot fail, wherever the address lies.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(begin.wrapping_add(offset)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (object, BYTES, CACHE_LINE);
}
