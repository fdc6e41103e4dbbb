//! Blocking calls in threads: the native half of `rondel.ThreadPoolExecutor`.
//!
//! Threads are Python's own (`python/rondel/executors/threads.py` starts them); what they do from
//! call to call is here. A call that a loop waits for puts itself into that loop's ready queue when
//! it is done, with no `concurrent.futures.Future` in between.

mod call;
mod chained;
mod work_queue;

pub(crate) use call::OffloadedCall;
pub(crate) use chained::ChainedCall;
pub(crate) use work_queue::{Push, WorkQueue, Worker, interpreter_exits};
