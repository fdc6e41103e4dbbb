//! One worker process and the task that drives it: start, calls, death, end.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use rondel_engine::Direction;
use rondel_engine::workers::framing::{Frame, FrameReader, HEADER};
use rondel_engine::workers::process::WorkerProcess;
use rondel_engine::workers::serving::END;

use super::ProcessError;
use super::process_call::Call;
use super::processes::Seat;
use super::registry::WORKER_NAME;
use crate::net::Watch;
use crate::timeout;

/// How long a worker that was sent home, or closed its connection, may take to end.
const GRACE: Duration = Duration::from_secs(1);

/// How often a call may find its worker gone before it began. An argument that is too large for
/// any worker would otherwise end one after the other.
const ATTEMPTS: u32 = 3;

/// Starts a worker and has it make the pool's calls, until the pool is shut down or the worker
/// dies. Dropped at any point, it kills the worker.
pub(super) async fn work(seat: Seat) {
    let mut supervised = match Supervised::start() {
        Ok(supervised) => supervised,
        Err(error) => return seat.could_not_start(error),
    };
    let mut left = seat.max_tasks();
    while left != Some(0) {
        match supervised.next(&seat).await {
            Next::Call(call, request) => {
                left = left.map(|left| left - 1);
                if !supervised.make(&seat, call, request).await {
                    return seat.replace();
                }
            }
            Next::ShutDown => break,
            Next::Dead => return seat.replace(),
        }
    }
    supervised.send_home().await;
    seat.replace();
}

/// A call as it waits in the queue: what to send, and how often that was tried.
pub(super) struct Request {
    pub(super) frame: Vec<u8>,
    pub(super) attempts: u32,
}

enum Next {
    Call(Rc<Call>, Request),
    ShutDown,
    Dead,
}

/// A worker process, its connection, and what the loop knows of both.
struct Supervised {
    watch: Watch, // both watches before their descriptors, as fields are dropped in order
    exit: Watch,
    channel: UnixStream,
    process: Rc<RefCell<WorkerProcess>>,
    reader: FrameReader,
    end: End,
}

/// How a process ended, once it has.
#[derive(Clone, Copy)]
enum End {
    NotYet,
    Status(ExitStatus),
    /// Somebody else waited for it.
    Unknown,
}

impl Supervised {
    fn start() -> io::Result<Self> {
        let (channel, theirs) = UnixStream::pair()?;
        channel.set_nonblocking(true)?;
        let child = Command::new("/proc/self/exe")
            .arg0(WORKER_NAME)
            .arg(std::process::id().to_string())
            .stdin(OwnedFd::from(theirs))
            .process_group(0)
            .spawn()?;
        let process = WorkerProcess::new(child)?;
        Ok(Self {
            watch: Watch::new(channel.as_raw_fd()),
            exit: Watch::new(process.pidfd()),
            channel,
            process: Rc::new(RefCell::new(process)),
            reader: FrameReader::default(),
            end: End::NotYet,
        })
    }

    /// Waits until there is a call to make.
    async fn next(&mut self, seat: &Seat) -> Next {
        poll_fn(|cx| {
            seat.is_not_idle();
            if self.poll_end(cx).is_ready() {
                return Poll::Ready(Next::Dead);
            }
            match seat.take_call() {
                Some((call, request)) => Poll::Ready(Next::Call(call, request)),
                None if seat.is_shut_down() => Poll::Ready(Next::ShutDown),
                None => {
                    seat.is_idle(cx.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Has the call made, and returns whether the worker can make another.
    async fn make(&mut self, seat: &Seat, call: Rc<Call>, mut request: Request) -> bool {
        call.begin(&self.process);
        let made = Made { seat, call };
        match self.exchange(&request.frame).await {
            Ok(Some(answer)) => {
                made.call.end(Ok(answer));
                return true;
            }
            Err(error) if has_not_begun(&error) && request.attempts + 1 < ATTEMPTS => {
                request.attempts += 1;
                made.seat.put_back(&made.call, request);
                drop(made); // somebody else may make it from now on
                self.wait_or_kill().await;
            }
            Ok(None) | Err(_) => {
                let status = self.wait_or_kill().await;
                made.call.end(Err(ProcessError::WorkerDied(status)));
            }
        }
        false
    }

    /// Sends a call and receives the answer; `None` if the worker ended first.
    async fn exchange(&mut self, request: &[u8]) -> io::Result<Option<Frame>> {
        self.send(request).await?;
        poll_fn(|cx| {
            loop {
                match self.reader.read(&self.channel) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    done => return Poll::Ready(done),
                }
                // What the worker sent before it ended is there when its end is seen. Somebody
                // else may hold the connection open.
                if !matches!(self.end, End::NotYet) {
                    return Poll::Ready(Ok(None));
                }
                if self.poll_end(cx).is_pending() {
                    self.watch.wait(Direction::Read, cx)?;
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    async fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        poll_fn(|cx| {
            while !bytes.is_empty() {
                match (&self.channel).write(bytes) {
                    Ok(len) => bytes = &bytes[len..],
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        if self.poll_end(cx).is_ready() {
                            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
                        }
                        self.watch.wait(Direction::Write, cx)?;
                        return Poll::Pending;
                    }
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Has the worker end by itself.
    async fn send_home(&mut self) {
        let mut frame = [0; HEADER];
        frame[..8].copy_from_slice(&END.to_ne_bytes());
        // It may have ended already.
        let _ = self.send(&frame).await;
        self.wait_or_kill().await;
    }

    /// Waits until the process has ended, killing it if that takes long, and returns how.
    async fn wait_or_kill(&mut self) -> Option<ExitStatus> {
        if timeout(GRACE, poll_fn(|cx| self.poll_end(cx))).await.is_err() {
            self.process.borrow().kill();
            poll_fn(|cx| self.poll_end(cx)).await;
        }
        match self.end {
            End::Status(status) => Some(status),
            End::NotYet | End::Unknown => None,
        }
    }

    /// Whether the process has ended; wakes the task when it does.
    fn poll_end(&mut self, cx: &Context<'_>) -> Poll<()> {
        if matches!(self.end, End::NotYet) {
            let waited = self.process.borrow_mut().try_wait();
            self.end = match waited {
                Ok(Some(status)) => End::Status(status),
                Ok(None) if self.exit.wait(Direction::Read, cx).is_ok() => return Poll::Pending,
                // The loop is out of memory; a worker that cannot be watched is none.
                Ok(None) => {
                    self.process.borrow().kill();
                    End::Unknown
                }
                Err(_) => End::Unknown,
            };
        }
        Poll::Ready(())
    }
}

/// Whether a worker's connection broke with the call still in it: the kernel says so when a Unix
/// socket is closed with data unread (`ECONNRESET`), or takes no more of it (`EPIPE`). After a
/// plain end the call had been read, and may have begun.
fn has_not_begun(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// A call under way: whatever happens to the task that makes it, who waits for it hears of it.
struct Made<'a> {
    seat: &'a Seat,
    call: Rc<Call>,
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        self.seat.is_over(&self.call);
    }
}
