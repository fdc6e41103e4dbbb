//! asyncio's model for Rust programs: one thread, one loop, tasks, streams, pools.
//!
//! ```
//! use std::time::Duration;
//!
//! async fn download_file() {
//!     println!("Downloading file...");
//!     rondel::sleep(Duration::from_millis(30)).await;
//!     println!("Download complete!");
//! }
//!
//! rondel::run(async {
//!     let task = rondel::create_task(download_file());
//!     println!("Doing other work while downloading...");
//!     task.await
//! })?;
//! # Ok::<(), rondel::JoinError>(())
//! ```
//!
//! # Coming from asyncio
//!
//! | asyncio | rondel |
//! |---|---|
//! | `asyncio.run(main())` | [`run(main())`](run) |
//! | `asyncio.Runner` | [`Runner`] |
//! | `asyncio.create_task(coro)` | [`create_task(future)`](create_task) |
//! | `task.cancel()`, `.done()`, `.get_name()` | [`Task::cancel`], [`done`](Task::done), [`name`](Task::name) |
//! | `await asyncio.gather(a, b)` | [`gather!(a, b).await`](gather!), [`gather(iterator).await`](gather()) |
//! | `await asyncio.sleep(1)`, `sleep(0)` | [`sleep(…).await`](sleep), [`yield_now().await`](yield_now) |
//! | `await asyncio.wait_for(x, 1)` | [`timeout(…, x).await`](timeout) |
//! | `await asyncio.to_thread(f)` | [`to_thread(f).await`](to_thread) |
//! | `ThreadPoolExecutor` | [`ThreadPoolExecutor`] |
//! | `ProcessPoolExecutor` | [`ProcessPoolExecutor`], with [`Worker`] |
//! | `asyncio.run_coroutine_threadsafe` | [`LoopHandle::create_task`], from [`get_running_loop`] |
//! | `asyncio.open_connection` | [`TcpStream::connect`] |
//! | `asyncio.start_server` | [`TcpListener::bind`] and [`accept`](TcpListener::accept) |
//! | `loop.time()` | [`time()`] |
//! | `loop.add_signal_handler` | [`signal::Signals`], [`signal::ctrl_c`] |
//!
//! Two things are not as in Python, because they are not in Rust. A coroutine that is cancelled
//! sees an exception at its `await`; a future is dropped there, and its destructors clean up. And
//! what an exception does, an `Err` does not: a [`gather!`] hands all results over, and an `Err`
//! among them stops nobody.
//!
//! # One thread
//!
//! Everything on a loop happens on its thread, one step at a time, so futures need not be `Send`:
//! an `Rc<RefCell<…>>` is shared state enough, as long as no borrow is held across an `await`.
//! What blocks, or computes for long, belongs in [`to_thread`], a [`ThreadPoolExecutor`] or a
//! [`ProcessPoolExecutor`], or nothing else runs meanwhile. Wakers work from any thread, so
//! channels between threads do; and a program can run one loop in each of several threads.
//!
//! A step of a task that is ready runs in the order in which it became ready, first in, first out;
//! what becomes ready meanwhile waits for the next turn, after sockets and timers had theirs. A
//! task whose sockets are always ready gives way after 128 operations.
//!
//! # What ends when
//!
//! A task runs to its end, kept or not, or until it is cancelled. When the main future is done,
//! [`run`] cancels all others, waits until their destructors have run, and then for threads that
//! are still in a [`to_thread`] call; worker processes it kills: nothing outlives it. A panic in a
//! task is a [`JoinError::Panicked`] where that task is awaited, and nothing to anybody else; a
//! panic of the main future goes through `run`, after the clean-up.

mod current;
mod executor;
mod gather;
mod join_error;
mod loop_handle;
pub mod net;
mod run;
pub mod signal;
mod task;
mod time;

pub use executor::{
    ProcessCall, ProcessError, ProcessPoolExecutor, ProcessPoolExecutorBuilder, Submitted,
    ThreadPoolExecutor, ThreadPoolExecutorBuilder, Worker, to_thread,
};
pub use gather::{Gather, Together, gather};
pub use join_error::JoinError;
pub use loop_handle::{LoopHandle, get_running_loop};
pub use net::{TcpListener, TcpStream};
pub use rondel_engine::clock::{Instant, MockClock};
pub use rondel_engine::spin::DEFAULT_SPIN;
pub use run::{Runner, run};
pub use task::{Canceller, Task, create_task};
pub use time::{Elapsed, Sleep, Timeout, YieldNow, sleep, sleep_until, time, timeout, yield_now};

/// The traits by which streams are read and written, and their extension methods: those of
/// `futures-io` and `futures-lite`, which work with the streams of any runtime.
pub mod io {
    pub use futures_lite::io::{
        AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt,
        BufReader, BufWriter, copy,
    };
    pub use futures_lite::{Stream, StreamExt};
}
