//! Work off the loop: blocking calls in threads, CPU-bound ones in processes.

mod process_call;
mod process_error;
mod processes;
mod registry;
mod submitted;
mod supervision;
mod threads;

pub use process_call::ProcessCall;
pub use process_error::ProcessError;
pub use processes::{ProcessPoolExecutor, ProcessPoolExecutorBuilder};
pub use registry::Worker;
pub use submitted::Submitted;
pub(crate) use submitted::completing;
pub(crate) use threads::submit_to;
pub use threads::{ThreadPoolExecutor, ThreadPoolExecutorBuilder, to_thread};
