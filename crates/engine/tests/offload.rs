//! The pool of threads for blocking work.
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use rondel_engine::offload::{Options, Stats, ThreadPool};

fn pool(max_threads: usize) -> ThreadPool {
    pool_that_keeps(max_threads, Duration::from_secs(60))
}

fn pool_that_keeps(max_threads: usize, keep_alive: Duration) -> ThreadPool {
    ThreadPool::new(Options { max_threads, name: "test".to_owned(), keep_alive })
}

/// Waits until the pool is as expected; the change is on its way.
fn settle(pool: &ThreadPool, expected: Stats) {
    while pool.stats() != expected {
        thread::yield_now();
    }
}

/// Occupies a thread of the pool until the sender is used or dropped.
fn occupy(pool: &ThreadPool) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel();
    let (entered, has_entered) = mpsc::channel();
    let job = move || {
        entered.send(()).unwrap();
        let _ = released.recv();
    };
    pool.submit(Box::new(job)).unwrap();
    has_entered.recv().unwrap();
    release
}

#[test]
fn a_pool_without_work_has_no_threads_and_starts_them_one_by_one() {
    let pool = pool(3);
    assert_eq!(pool.stats(), Stats::default());
    let first = occupy(&pool);
    assert_eq!(pool.stats(), Stats { threads: 1, idle: 0, queued: 0 });
    let second = occupy(&pool);
    assert_eq!(pool.stats(), Stats { threads: 2, idle: 0, queued: 0 });
    drop(first);
    settle(&pool, Stats { threads: 2, idle: 1, queued: 0 });
    let again = occupy(&pool);
    assert_eq!(pool.stats().threads, 2, "the idle thread took it");
    drop((second, again));
}

#[test]
fn there_are_never_more_threads_than_allowed_and_the_queue_is_first_in_first_out() {
    let pool = pool(1);
    let release = occupy(&pool);
    let (done, has_done) = mpsc::channel();
    for number in 0..100 {
        let done = done.clone();
        pool.submit(Box::new(move || done.send(number).unwrap())).unwrap();
    }
    assert_eq!(pool.stats(), Stats { threads: 1, idle: 0, queued: 100 });
    drop((release, done));
    assert!(has_done.into_iter().eq(0..100));
}

#[test]
fn a_pool_of_none_is_a_pool_of_one() {
    let pool = pool(0);
    drop(occupy(&pool));
    assert_eq!(pool.stats().threads, 1);
}

#[test]
fn all_threads_that_are_allowed_work_at_once() {
    let pool = pool(4);
    let meeting = Arc::new(Barrier::new(5));
    for _ in 0..4 {
        let meeting = Arc::clone(&meeting);
        pool.submit(Box::new(move || {
            meeting.wait();
        }))
        .unwrap();
    }
    meeting.wait();
}

#[test]
fn a_panic_ends_the_job_and_not_the_thread() {
    let pool = pool(1);
    pool.submit(Box::new(|| panic!("in a job"))).unwrap();
    let (sender, receiver) = mpsc::channel();
    pool.submit(Box::new(move || sender.send(thread::current().id()).unwrap())).unwrap();
    receiver.recv().unwrap();
    assert_eq!(pool.stats().threads, 1);
}

#[test]
fn idle_threads_end_after_a_while_and_new_work_starts_new_ones() {
    let pool = pool_that_keeps(4, Duration::from_millis(10));
    let busy: Vec<_> = (0..4).map(|_| occupy(&pool)).collect();
    assert_eq!(pool.stats().threads, 4);
    drop(busy);
    settle(&pool, Stats::default());
    drop(occupy(&pool));
    settle(&pool, Stats::default());
}

#[test]
fn threads_are_named_after_the_pool() {
    let pool = pool(1);
    let (sender, receiver) = mpsc::channel();
    pool.submit(Box::new(move || {
        sender.send(thread::current().name().map(str::to_owned)).unwrap();
    }))
    .unwrap();
    assert_eq!(receiver.recv().unwrap().as_deref(), Some("test-1"));
}

#[test]
fn shutdown_waits_for_what_is_queued() {
    let pool = pool(2);
    let done = Arc::new(AtomicUsize::new(0));
    for _ in 0..100 {
        let done = Arc::clone(&done);
        pool.submit(Box::new(move || {
            thread::yield_now();
            done.fetch_add(1, Ordering::SeqCst);
        }))
        .unwrap();
    }
    assert!(pool.shutdown(true, false).is_empty());
    assert_eq!(done.load(Ordering::SeqCst), 100);
    assert_eq!(pool.stats(), Stats::default());
}

#[test]
fn shutdown_can_give_back_what_has_not_begun() {
    let pool = pool(1);
    let release = occupy(&pool);
    let (sender, receiver) = mpsc::channel();
    for number in 0..3 {
        let sender = sender.clone();
        pool.submit(Box::new(move || sender.send(number).unwrap())).unwrap();
    }
    drop(sender);
    let jobs = pool.shutdown(false, true);
    assert_eq!(jobs.len(), 3);
    drop(release);
    pool.shutdown(true, false); // a second time, to wait
    assert_eq!(pool.stats(), Stats::default());
    assert!(receiver.try_recv().is_err(), "none was done");
    for job in jobs {
        job();
    }
    assert!(receiver.into_iter().eq(0..3), "in the order of their submission");
}

#[test]
fn after_shutdown_a_job_is_refused_and_given_back() {
    let pool = pool(1);
    pool.shutdown(true, false);
    let refused = pool.submit(Box::new(|| ())).unwrap_err();
    (refused.0)();
    assert_eq!(pool.stats(), Stats::default());
}

#[test]
fn a_job_may_shut_its_own_pool_down_and_wait() {
    let pool = Arc::new(pool(2));
    let own = Arc::clone(&pool);
    let (sender, receiver) = mpsc::channel();
    let other = occupy(&pool);
    pool.submit(Box::new(move || {
        drop(other);
        own.shutdown(true, false);
        sender.send(()).unwrap();
    }))
    .unwrap();
    receiver.recv().unwrap();
}

#[test]
fn a_dropped_pool_finishes_its_queue_and_its_threads_end() {
    let pool = pool(1);
    let release = occupy(&pool);
    let (sender, receiver) = mpsc::channel();
    for number in 0..3 {
        let sender = sender.clone();
        pool.submit(Box::new(move || sender.send(number).unwrap())).unwrap();
    }
    drop((pool, sender, release));
    assert!(receiver.into_iter().eq(0..3));
}

#[test]
fn jobs_may_submit_jobs() {
    fn fan_out(pool: &Arc<ThreadPool>, depth: u32, done: &mpsc::Sender<u32>) {
        done.send(depth).unwrap();
        for _ in 0..if depth < 4 { 3 } else { 0 } {
            let (pool, done) = (Arc::clone(pool), done.clone());
            let again = Arc::clone(&pool);
            pool.submit(Box::new(move || fan_out(&again, depth + 1, &done))).unwrap();
        }
    }
    let pool = Arc::new(pool(3));
    let (done, finished) = mpsc::channel();
    fan_out(&pool, 0, &done);
    drop(done);
    assert_eq!(finished.into_iter().count(), 1 + 3 + 9 + 27 + 81);
}
