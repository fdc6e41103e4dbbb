//! Blocking work in threads, and threads that hand work to the loop.
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use rondel::{
    JoinError, ThreadPoolExecutor, create_task, gather, get_running_loop, run, to_thread, yield_now,
};

/// A call that has begun, and goes on when it is told to.
struct Blocked {
    entered: mpsc::Receiver<()>,
    release: mpsc::Sender<()>,
}

fn blocking() -> (Blocked, impl FnOnce() + Send + 'static) {
    let (enter, entered) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let call = move || {
        enter.send(()).unwrap();
        let _ = released.recv(); // also when the test is over
    };
    (Blocked { entered, release }, call)
}

#[test]
fn a_call_runs_in_another_thread_and_the_loop_goes_on_meanwhile() {
    run(async {
        let own = thread::current().id();
        let (blocked, call) = blocking();
        let task = create_task(to_thread(move || {
            call();
            thread::current().id()
        }));
        while blocked.entered.try_recv().is_err() {
            yield_now().await; // the loop turns
        }
        assert!(!task.done());
        blocked.release.send(()).unwrap();
        assert_ne!(task.await.unwrap(), own);
    });
}

#[test]
fn a_panic_in_a_thread_surfaces_at_the_await() {
    run(async {
        let task = create_task(to_thread(|| -> i32 { panic!("in a thread") }));
        assert_eq!(task.await.unwrap_err().panic_message(), Some("in a thread"));
        assert_eq!(to_thread(|| 1).await, 1, "the pool goes on");

        let pool = ThreadPoolExecutor::new();
        let submitted = pool.submit(|| -> i32 { panic!("in the pool") });
        assert_eq!(submitted.await.unwrap_err().panic_message(), Some("in the pool"));
        assert_eq!(pool.submit(|| 1).await.unwrap(), 1);
    });
}

#[test]
fn calls_that_nobody_awaits_any_more_are_not_begun() {
    let made = Arc::new(AtomicUsize::new(0));
    run(async {
        let pool = ThreadPoolExecutor::builder().max_workers(1).build();
        let (blocked, call) = blocking();
        let first = pool.submit(call);
        blocked.entered.recv().unwrap();

        let count = Arc::clone(&made);
        let awaited = pool.submit(move || count.fetch_add(1, Ordering::SeqCst));
        let task = create_task(awaited);
        let count = Arc::clone(&made);
        drop(pool.submit(move || count.fetch_add(10, Ordering::SeqCst)));
        yield_now().await;
        assert!(task.cancel());
        assert!(task.await.unwrap_err().is_cancelled());

        blocked.release.send(()).unwrap();
        first.await.unwrap();
        pool.submit(|| ()).await.unwrap();
    });
    assert_eq!(made.load(Ordering::SeqCst), 10, "only the one that was let go");
}

#[test]
fn a_cancelled_task_leaves_its_call_alone_and_the_result_is_dropped() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let result = Counted(Arc::clone(&drops));
    run(async {
        let (blocked, call) = blocking();
        let task = create_task(to_thread(move || {
            call();
            result
        }));
        while blocked.entered.try_recv().is_err() {
            yield_now().await;
        }
        task.cancel();
        assert!(task.await.is_err_and(|error| error.is_cancelled()));
        assert_eq!(drops.load(Ordering::SeqCst), 0);
        blocked.release.send(()).unwrap();
    });
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[test]
fn no_more_threads_than_workers_and_their_names_tell_whose_they_are() {
    run(async {
        let pool =
            ThreadPoolExecutor::builder().max_workers(3).thread_name_prefix("reader").build();
        let busy = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let meeting = Arc::new(Barrier::new(3));
        let (counted, peak) = (Arc::clone(&busy), Arc::clone(&most));
        let names = pool.map(
            move |number| {
                let now = counted.fetch_add(1, Ordering::SeqCst) + 1;
                peak.fetch_max(now, Ordering::SeqCst);
                if number < 3 {
                    meeting.wait(); // only if there are three at once
                }
                counted.fetch_sub(1, Ordering::SeqCst);
                thread::current().name().map(str::to_owned)
            },
            0..60,
        );
        let mut names: Vec<_> = names.await.unwrap().into_iter().map(Option::unwrap).collect();
        names.sort();
        names.dedup();
        assert_eq!(names, ["reader-1", "reader-2", "reader-3"]);
        assert_eq!(most.load(Ordering::SeqCst), 3);
    });
}

#[test]
fn map_gives_results_in_order_and_the_first_panic_cancels_the_rest() {
    run(async {
        let pool = ThreadPoolExecutor::builder().max_workers(1).build();
        let squares = pool.map(|number: u64| number * number, 0..100).await.unwrap();
        assert!(squares.into_iter().eq((0..100).map(|number| number * number)));

        let made = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&made);
        let (blocked, call) = blocking();
        let call = std::sync::Mutex::new(Some(call));
        let failing = create_task(pool.map(
            move |number| {
                assert_ne!(number, 1, "bad item");
                count.fetch_add(1, Ordering::SeqCst);
                if number == 2 {
                    call.lock().unwrap().take().unwrap()();
                }
            },
            0..1000,
        ));
        let error = failing.await.unwrap().unwrap_err();
        assert!(error.panic_message().unwrap().contains("bad item"));
        drop(blocked);
        pool.shutdown(true, false);
        let made = made.load(Ordering::SeqCst);
        assert!((1..=2).contains(&made), "{made} of 998");
    });
}

#[test]
fn shutdown_finishes_what_is_queued_or_cancels_it_and_takes_no_more() {
    run(async {
        let pool = ThreadPoolExecutor::builder().max_workers(1).build();
        let queued: Vec<_> = (0..10).map(|number| pool.submit(move || number)).collect();
        pool.shutdown(true, false);
        assert!(queued.iter().all(rondel::Submitted::done));
        let results: Vec<_> = gather(queued).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(results, (0..10).collect::<Vec<_>>());
        assert!(pool.submit(|| ()).await.unwrap_err().is_cancelled());

        let pool = ThreadPoolExecutor::builder().max_workers(1).build();
        let (blocked, call) = blocking();
        let first = pool.submit(call);
        blocked.entered.recv().unwrap();
        let second = pool.submit(|| ());
        pool.shutdown(false, true);
        assert!(second.await.unwrap_err().is_cancelled());
        assert!(first.running());
        assert!(!first.cancel(), "what has begun cannot be cancelled");
        blocked.release.send(()).unwrap();
        first.await.unwrap();
    });
}

#[test]
fn a_queued_call_can_be_cancelled() {
    run(async {
        let pool = ThreadPoolExecutor::builder().max_workers(1).build();
        let (blocked, call) = blocking();
        let first = pool.submit(call);
        blocked.entered.recv().unwrap();
        let second = pool.submit(|| ());
        assert!(!second.running());
        assert!(second.cancel());
        assert!(second.cancel(), "it still is");
        assert!(matches!(second.await, Err(JoinError::Cancelled)));
        blocked.release.send(()).unwrap();
        first.await.unwrap();
    });
}

#[test]
fn a_dropped_executor_still_finishes_what_it_has() {
    let call = ThreadPoolExecutor::new().submit(|| 5);
    assert_eq!(call.result().unwrap(), 5);
}

#[test]
fn twenty_thousand_calls_at_once_all_return() {
    let sum = run(async {
        gather((0..20_000_u64).map(|number| to_thread(move || number))).await.iter().sum::<u64>()
    });
    assert_eq!(sum, 19_999 * 10_000);
}

#[test]
fn a_thread_can_have_a_task_run_on_the_loop_and_wait_for_it() {
    run(async {
        let loop_thread = thread::current().id();
        let on_loop = get_running_loop();
        let answer = to_thread(move || {
            let task = on_loop.create_task(move || async move {
                let not_send = Rc::new(6);
                yield_now().await;
                assert_eq!(thread::current().id(), loop_thread);
                *not_send * 7
            });
            task.result().unwrap()
        });
        assert_eq!(answer.await, 42);
    });
}

#[test]
fn calls_from_threads_are_made_in_order_on_the_loop() {
    thread_local! {
        static SEEN: RefCell<Vec<(usize, usize)>> = const { RefCell::new(Vec::new()) };
    }
    run(async {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let on_loop = get_running_loop();
                thread::spawn(move || {
                    for number in 0..1000 {
                        assert!(on_loop.call_soon(move || {
                            SEEN.with_borrow_mut(|seen| seen.push((thread, number)));
                        }));
                    }
                })
            })
            .collect();
        while SEEN.with_borrow(Vec::len) < 4000 {
            yield_now().await;
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
    SEEN.with_borrow(|seen| {
        for thread in 0..4 {
            let numbers = seen.iter().filter(|(of, _)| *of == thread).map(|(_, number)| *number);
            assert!(numbers.eq(0..1000));
        }
    });
}

#[test]
fn a_panic_in_what_a_thread_handed_over_harms_nobody_else() {
    run(async {
        let on_loop = get_running_loop();
        let (panicked, after) = to_thread(move || {
            on_loop.call_soon(|| panic!("in a callback"));
            let panicked = on_loop.create_task(|| async { panic!("in a task") });
            let panicked = panicked.result().map(|(): ()| ()).unwrap_err();
            (panicked.to_string(), on_loop.create_task(|| async { 1 }).result().unwrap())
        })
        .await;
        assert_eq!((panicked.as_str(), after), ("panicked: in a task", 1));
    });
}

#[test]
fn threads_that_wait_for_a_loop_are_told_when_it_ends() {
    let (on_loop, waiting) = run(async {
        let on_loop = get_running_loop();
        let (begun, has_begun) = mpsc::channel();
        let for_thread = on_loop.clone();
        let waiting = thread::spawn(move || {
            let never = for_thread.create_task(move || async move {
                begun.send(()).unwrap();
                std::future::pending::<()>().await;
            });
            never.result()
        });
        while has_begun.try_recv().is_err() {
            yield_now().await;
        }
        (on_loop, waiting)
    });
    assert!(waiting.join().unwrap().unwrap_err().is_cancelled());
    assert!(!on_loop.call_soon(|| unreachable!("the loop is over")));
    assert!(on_loop.create_task(|| async {}).result().unwrap_err().is_cancelled());
}

#[test]
fn a_call_that_waits_for_the_loop_does_not_keep_it_from_ending() {
    run(async {
        let on_loop = get_running_loop();
        let (begun, has_begun) = mpsc::channel();
        create_task(to_thread(move || {
            begun.send(()).unwrap();
            on_loop.create_task(std::future::pending::<()>).result()
        }));
        while has_begun.try_recv().is_err() {
            yield_now().await;
        }
    });
}
