//! Tasks: their order, their end, and what each keeps to itself.
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use rondel::{JoinError, MockClock, Runner, create_task, run, sleep, timeout, yield_now};

#[test]
fn a_task_takes_its_first_step_when_its_turn_comes_not_when_it_is_created() {
    let log = Rc::new(RefCell::new(Vec::new()));
    run(async {
        let written = Rc::clone(&log);
        let task = create_task(async move { written.borrow_mut().push("task") });
        log.borrow_mut().push("main");
        task.await.unwrap();
        log.borrow_mut().push("main again");
    });
    assert_eq!(*log.borrow(), ["main", "task", "main again"]);
}

#[test]
fn ready_tasks_take_turns_in_the_order_of_their_creation() {
    let log = Rc::new(RefCell::new(Vec::new()));
    run(async {
        let tasks: Vec<_> = (0..3)
            .map(|number| {
                let log = Rc::clone(&log);
                create_task(async move {
                    for round in 0..3 {
                        log.borrow_mut().push((round, number));
                        yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let expected: Vec<_> =
        (0..3).flat_map(|round| (0..3).map(move |number| (round, number))).collect();
    assert_eq!(*log.borrow(), expected);
}

#[test]
fn main_takes_its_turn_among_the_tasks() {
    let log = Rc::new(RefCell::new(String::new()));
    run(async {
        let written = Rc::clone(&log);
        create_task(async move {
            loop {
                written.borrow_mut().push('t');
                yield_now().await;
            }
        });
        for _ in 0..3 {
            yield_now().await;
            log.borrow_mut().push('m');
        }
    });
    assert_eq!(*log.borrow(), "tmtmtm");
}

#[test]
fn dropping_the_handle_lets_the_task_go_on() {
    let done = Rc::new(Cell::new(false));
    run(async {
        let set = Rc::clone(&done);
        drop(create_task(async move {
            yield_now().await;
            yield_now().await;
            set.set(true);
        }));
        for _ in 0..5 {
            yield_now().await;
        }
    });
    assert!(done.get());
}

#[test]
fn dropping_a_handle_that_is_being_awaited_lets_the_task_go_on_too() {
    let done = Rc::new(Cell::new(false));
    let mut runner = Runner::with_clock(MockClock::default()).unwrap();
    runner.run(async {
        let set = Rc::clone(&done);
        let task = create_task(async move {
            sleep(Duration::from_secs(2)).await;
            set.set(true);
        });
        assert!(timeout(Duration::from_secs(1), task).await.is_err());
        sleep(Duration::from_secs(2)).await;
    });
    assert!(done.get());
}

#[test]
fn a_panic_surfaces_at_the_await_and_kills_nothing_else() {
    run(async {
        let other = create_task(async {
            for _ in 0..10 {
                yield_now().await;
            }
            "alive"
        });
        let broken = create_task(async {
            yield_now().await;
            panic!("broken {}", 1);
        });
        let error = broken.await.map(|(): ()| ()).unwrap_err();
        assert!(error.is_panic());
        assert_eq!(error.panic_message(), Some("broken 1"));
        assert_eq!(error.to_string(), "panicked: broken 1");
        assert_eq!(other.await.unwrap(), "alive");
    });
}

#[test]
fn a_panic_that_nobody_awaits_kills_nothing_else() {
    run(async {
        drop(create_task(async { panic!("unheard") }));
        yield_now().await;
        yield_now().await;
        assert_eq!(create_task(async { 1 }).await.unwrap(), 1);
    });
}

#[test]
fn the_payload_of_a_panic_arrives_whole() {
    run(async {
        let task = create_task(async { std::panic::panic_any(42_u64) });
        match task.await.map(|(): ()| ()) {
            Err(JoinError::Panicked(payload)) => {
                assert_eq!(*payload.downcast::<u64>().unwrap(), 42);
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn destructors_that_panic_are_reported_where_the_task_is_awaited() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("bomb");
        }
    }
    run(async {
        let cancelled = create_task(async {
            let _bomb = Bomb;
            pending::<()>().await;
        });
        yield_now().await;
        cancelled.cancel();
        let error = cancelled.await.unwrap_err();
        assert_eq!(error.panic_message(), Some("bomb"));

        // An output that nobody waits for is dropped by the task itself.
        drop(create_task(async { Bomb }));
        yield_now().await;
        yield_now().await;
        assert_eq!(create_task(async { 1 }).await.unwrap(), 1);
    });
}

#[test]
fn a_cancelled_task_stops_at_its_await_and_its_destructors_run_on_the_loop() {
    struct OnDrop(Rc<RefCell<Vec<&'static str>>>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            rondel::time(); // there is a loop
            self.0.borrow_mut().push("dropped");
        }
    }
    let log = Rc::new(RefCell::new(Vec::new()));
    run(async {
        let held = OnDrop(Rc::clone(&log));
        let written = Rc::clone(&log);
        let task = create_task(async move {
            let _held = held;
            written.borrow_mut().push("begun");
            pending::<()>().await;
            written.borrow_mut().push("never");
        });
        yield_now().await;
        assert!(task.cancel());
        assert!(task.cancel(), "it is not done yet");
        assert!(!task.done());
        assert_eq!(*log.borrow(), ["begun"], "the task is not torn down under its caller's feet");
        let error = task.await.unwrap_err();
        assert!(error.is_cancelled());
        assert_eq!(*log.borrow(), ["begun", "dropped"]);
    });
}

#[test]
fn a_task_that_is_cancelled_before_its_first_step_never_takes_it() {
    run(async {
        let begun = Rc::new(Cell::new(false));
        let set = Rc::clone(&begun);
        let task = create_task(async move { set.set(true) });
        assert!(task.cancel());
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(!begun.get());
        assert_eq!(Rc::strong_count(&begun), 1);
    });
}

#[test]
fn a_task_that_is_done_cannot_be_cancelled() {
    run(async {
        let task = create_task(async { 7 });
        yield_now().await;
        assert!(task.done());
        assert!(!task.cancel());
        assert_eq!(task.await.unwrap(), 7);
    });
}

#[test]
fn a_task_that_cancels_itself_ends_at_its_next_await() {
    run(async {
        let handle = Rc::new(RefCell::new(None));
        let own = Rc::clone(&handle);
        let reached = Rc::new(RefCell::new(Vec::new()));
        let log = Rc::clone(&reached);
        let task = create_task(async move {
            let canceller: rondel::Canceller = own.borrow_mut().take().unwrap();
            assert!(canceller.cancel());
            log.borrow_mut().push("after cancel");
            yield_now().await;
            log.borrow_mut().push("after await");
        });
        handle.replace(Some(task.canceller()));
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(*reached.borrow(), ["after cancel"]);
    });
}

#[test]
fn a_task_that_cancels_itself_and_returns_is_cancelled_as_in_asyncio() {
    run(async {
        let handle = Rc::new(RefCell::new(None));
        let own = Rc::clone(&handle);
        let task = create_task(async move {
            let canceller: rondel::Canceller = own.borrow_mut().take().unwrap();
            canceller.cancel();
            "result"
        });
        handle.replace(Some(task.canceller()));
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_canceller_cancels_a_task_that_somebody_else_awaits() {
    run(async {
        let task = create_task(pending::<()>());
        let canceller = task.canceller();
        let awaiting = create_task(task);
        yield_now().await;
        assert!(!canceller.done());
        assert!(canceller.cancel());
        assert!(awaiting.await.unwrap().unwrap_err().is_cancelled());
        assert!(canceller.done());
        assert!(!canceller.cancel());
    });
}

#[test]
fn tasks_have_names_that_can_be_changed() {
    run(async {
        let first = create_task(async {});
        let second = create_task(async {});
        let number = |name: String| name.strip_prefix("Task-").unwrap().parse::<u64>().unwrap();
        assert!(number(second.name()) > number(first.name()));
        first.set_name("downloader");
        assert_eq!(first.name(), "downloader");
        assert!(format!("{first:?}").contains("downloader"));
    });
}

#[test]
#[expect(clippy::async_yields_async, reason = "the task outlives its loop")]
fn a_result_stays_until_it_is_asked_for_even_after_the_loop() {
    let task = run(async {
        let task = create_task(async { vec![1, 2, 3] });
        yield_now().await;
        task
    });
    assert_eq!(run(task).unwrap(), [1, 2, 3]);
}

#[test]
#[expect(clippy::async_yields_async, reason = "the task outlives its loop")]
fn a_task_that_the_end_of_its_loop_cancelled_says_so_on_the_next() {
    let task = run(async { create_task(pending::<()>()) });
    assert!(task.done());
    assert!(run(task).unwrap_err().is_cancelled());
}

#[test]
fn wakers_that_outlive_their_loop_do_nothing() {
    let waker = Rc::new(RefCell::new(None));
    let kept = Rc::clone(&waker);
    let main_waker = Rc::new(RefCell::new(None));
    let main_kept = Rc::clone(&main_waker);
    run(async move {
        create_task(std::future::poll_fn(move |cx| {
            kept.replace(Some(cx.waker().clone()));
            std::task::Poll::<()>::Pending
        }));
        yield_now().await;
        std::future::poll_fn(|cx| {
            main_kept.replace(Some(cx.waker().clone()));
            std::task::Poll::Ready(())
        })
        .await;
    });
    for waker in [waker.take().unwrap(), main_waker.take().unwrap()] {
        let elsewhere = waker.clone();
        std::thread::spawn(move || elsewhere.wake()).join().unwrap();
        waker.wake();
    }
    run(yield_now());
}

#[test]
fn a_waker_may_itself_use_the_loop() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Wake, Waker};

    struct UsesLoop(AtomicBool);
    impl Wake for UsesLoop {
        fn wake(self: Arc<Self>) {
            rondel::time();
            create_task(async {});
            self.0.store(true, Ordering::Relaxed);
        }
    }
    run(async {
        let woken = Arc::new(UsesLoop(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut slept = std::pin::pin!(sleep(Duration::from_millis(1)));
        assert!(slept.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        while !woken.0.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn a_hundred_thousand_tasks_finish_and_leave_nothing() {
    let count = Rc::new(Cell::new(0_u32));
    run(async {
        let tasks: Vec<_> = (0..100_000_u32)
            .map(|number| {
                let count = Rc::clone(&count);
                create_task(async move {
                    yield_now().await;
                    count.set(count.get() + 1);
                    number
                })
            })
            .collect();
        for (number, task) in (0..).zip(tasks) {
            assert_eq!(task.await.unwrap(), number);
        }
    });
    assert_eq!(count.get(), 100_000);
    assert_eq!(Rc::strong_count(&count), 1);
}
