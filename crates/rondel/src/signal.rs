//! Unix signals as something to await.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use rondel_engine::Direction;
use rondel_engine::signal::SignalPipe;

pub use rondel_engine::signal::{
    SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH,
};

use crate::net::Watch;

/// Completes when the user presses Ctrl-C (SIGINT), which then does not end the program; before
/// the first poll and once this is dropped, it does.
///
/// ```no_run
/// # async fn serve() {}
/// # rondel::run(async {
/// let server = rondel::create_task(serve());
/// rondel::signal::ctrl_c().await?;
/// server.cancel();
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// Those of [`Signals::new`].
pub async fn ctrl_c() -> io::Result<()> {
    Signals::new(&[SIGINT])?.recv().await.map(drop)
}

/// Receives signals, in place of what they do by default, until it is dropped; as
/// `loop.add_signal_handler` and `remove_signal_handler`.
#[derive(Debug)]
pub struct Signals {
    watch: Watch, // before the pipe, as fields are dropped in order
    pipe: SignalPipe,
    /// Received and not yet given out.
    received: Vec<i32>,
}

impl Signals {
    /// Receives `signals` from now on, given by their numbers.
    ///
    /// # Errors
    /// `InvalidInput` for a signal that cannot be caught; those of `socketpair(2)`.
    pub fn new(signals: &[i32]) -> io::Result<Self> {
        let mut pipe = SignalPipe::new()?;
        for signal in signals {
            pipe.register(*signal)?;
        }
        Ok(Self { watch: Watch::new(pipe.read_fd()), pipe, received: Vec::new() })
    }

    /// The next signal's number. Several signals of one kind that come at once may be one, as is
    /// the way of signals.
    ///
    /// # Errors
    /// If the loop cannot watch the pipe, being out of memory.
    pub async fn recv(&mut self) -> io::Result<i32> {
        poll_fn(|cx| {
            if self.received.is_empty() {
                self.received.extend(self.pipe.drain().into_iter().rev().map(i32::from));
            }
            if let Some(signal) = self.received.pop() {
                return Poll::Ready(Ok(signal));
            }
            self.watch.wait(Direction::Read, cx)?;
            Poll::Pending
        })
        .await
    }
}
