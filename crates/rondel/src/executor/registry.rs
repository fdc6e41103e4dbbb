//! What a worker process can be asked to do, and how it does it.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::exit;
use std::sync::OnceLock;

use rondel_engine::workers::framing::{Frame, frame};
use rondel_engine::workers::serving::Channel;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a worker process is called (`argv[0]`), by which it knows what it is.
pub(super) const WORKER_NAME: &str = "rondel-worker";

/// The tags of answers.
pub(super) const RETURNED: u64 = 0;
pub(super) const PANICKED: u64 = 1;
pub(super) const NOT_SENT: u64 = 2;
pub(super) const NOT_REGISTERED: u64 = 3;

static REGISTERED: OnceLock<Worker> = OnceLock::new();

type Answer = Box<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// What this program does when a [`ProcessPoolExecutor`](crate::ProcessPoolExecutor) has started
/// it as a worker: the functions that can be called there. For the first line of `main`.
///
/// A worker process is this same program, started again. [`serve`](Self::serve) makes calls there
/// and never returns; in the program itself it only notes the functions. What `main` does before
/// it, every worker does, too. A test program that uses workers needs a `main` of its own
/// (`harness = false` in `Cargo.toml`), since cargo's would run the tests again in each.
#[derive(Default)]
pub struct Worker {
    answers: HashMap<u64, Answer>,
}

impl Worker {
    /// A worker that can do nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `function` be called in worker processes. It takes one argument, which may be a tuple;
    /// argument and result travel by serde. A method, a function with its generic parameters named
    /// and a closure that captures nothing and is bound to a name are functions, too.
    ///
    /// A panic of the function is caught; the next call runs in the same process.
    #[must_use]
    pub fn register<F, A, R>(mut self, function: F) -> Self
    where
        F: Fn(A) -> R + Copy + Send + Sync + 'static,
        A: DeserializeOwned,
        R: Serialize,
    {
        let answer = move |argument: &[u8]| {
            let argument = match postcard::from_bytes(argument) {
                Ok(argument) => argument,
                Err(error) => return text(NOT_SENT, &error.to_string()),
            };
            match catch_unwind(AssertUnwindSafe(|| {
                frame(RETURNED, |out| postcard::to_extend(&function(argument), out))
            })) {
                Ok(Ok(returned)) => returned,
                Ok(Err(error)) => text(NOT_SENT, &error.to_string()),
                Err(panic) => text(PANICKED, message(&*panic)),
            }
        };
        self.answers.insert(key::<F>(), Box::new(answer));
        self
    }

    /// In a worker process, makes the calls that come, and ends the process when no more will.
    /// In any other it returns at once.
    ///
    /// Standard input is empty in a worker; standard output and error are the program's own. A
    /// worker is a process group of its own, so that Ctrl-C reaches the program, which decides.
    ///
    /// # Panics
    /// If it was called before: what is registered cannot change.
    pub fn serve(self) {
        assert!(REGISTERED.set(self).is_ok(), "Worker::serve() was called before");
        let mut arguments = std::env::args_os();
        if arguments.next().is_none_or(|name| name != WORKER_NAME) {
            return;
        }
        let parent = arguments.next().and_then(|parent| parent.to_str()?.parse().ok());
        let channel = match parent {
            Some(parent) => Channel::from_stdin(parent),
            None => Err(io::Error::other("a worker is started by its program alone")),
        };
        match channel {
            Ok(channel) => exit(i32::from(channel.serve(answer).is_err())),
            Err(error) => {
                let _ = writeln!(io::stderr(), "{WORKER_NAME}: {error}");
                exit(1);
            }
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("functions", &self.answers.len()).finish()
    }
}

fn answer(call: &Frame) -> Vec<u8> {
    let function = REGISTERED.get().and_then(|worker| worker.answers.get(&call.tag));
    let answer = match function {
        Some(function) => function(&call.body),
        None => text(NOT_REGISTERED, ""),
    };
    // What the call has printed is seen before its result.
    let _ = io::stdout().flush();
    answer
}

/// The call of `function` as it is sent to a worker.
pub(super) fn request<F, A>(argument: &A) -> Result<Vec<u8>, super::ProcessError>
where
    F: 'static,
    A: Serialize,
{
    const { assert!(size_of::<F>() == 0, "a function's name, not a pointer or what captures") };
    if REGISTERED.get().is_none_or(|worker| !worker.answers.contains_key(&key::<F>())) {
        return Err(super::ProcessError::NotRegistered(type_name::<F>()));
    }
    frame(key::<F>(), |out| postcard::to_extend(argument, out))
        .map_err(|error| super::ProcessError::NotSent(error.to_string()))
}

/// The same in every process of one program, and the types of two functions are never the same.
fn key<F: 'static>() -> u64 {
    let mut hasher = DefaultHasher::new();
    TypeId::of::<F>().hash(&mut hasher);
    // All ones mean something else.
    hasher.finish() >> 1
}

fn text(tag: u64, text: &str) -> Vec<u8> {
    let framed = frame(tag, |mut out| {
        out.extend_from_slice(text.as_bytes());
        Ok::<_, Infallible>(out)
    });
    match framed {
        Ok(framed) => framed,
        Err(never) => match never {},
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
