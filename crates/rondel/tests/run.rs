//! What a run does from its first step to its end.
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use rondel::{Runner, create_task, run, sleep, to_thread, yield_now};

/// Records that it was dropped, and on which thread.
struct OnDrop(Rc<RefCell<Vec<String>>>, &'static str);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.borrow_mut().push(self.1.to_owned());
    }
}

fn panic_text(result: thread::Result<()>) -> String {
    let payload = result.unwrap_err();
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string)).unwrap()
}

#[test]
fn the_output_of_the_main_future_is_returned_and_may_borrow_from_the_caller() {
    let mut text = String::from("ab");
    let length = run(async {
        yield_now().await;
        text.push('c');
        text.len()
    });
    assert_eq!((length, text.as_str()), (3, "abc"));
}

#[test]
fn a_nested_run_panics_as_asyncio_does_and_the_outer_one_goes_on() {
    let text = run(async {
        let nested = catch_unwind(|| run(async {}));
        yield_now().await;
        panic_text(nested)
    });
    assert!(text.starts_with("rondel::run() cannot be called from a running event loop"), "{text}");
    assert_eq!(run(async { 1 }), 1);
}

#[test]
fn a_runner_made_inside_a_loop_refuses_to_run_there() {
    run(async {
        let mut runner = Runner::new().unwrap();
        let nested = catch_unwind(AssertUnwindSafe(|| runner.run(async {})));
        assert!(panic_text(nested).contains("running event loop"));
        drop(runner);
        yield_now().await;
    });
}

#[test]
fn what_needs_a_loop_says_so_outside_one() {
    let outside = catch_unwind(|| drop(create_task(async {})));
    assert_eq!(panic_text(outside), "no running event loop");
    let outside = catch_unwind(|| {
        rondel::time();
    });
    assert_eq!(panic_text(outside), "no running event loop");
    run(async {});
    let after = catch_unwind(|| drop(create_task(async {})));
    assert_eq!(panic_text(after), "no running event loop");
}

#[test]
fn a_panic_of_the_main_future_goes_through_after_the_clean_up() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let held = OnDrop(Rc::clone(&log), "task");
    let result = catch_unwind(AssertUnwindSafe(|| {
        run(async {
            create_task(async move {
                let _held = held;
                std::future::pending::<()>().await;
            });
            yield_now().await;
            panic!("main is broken");
        });
    }));
    assert_eq!(panic_text(result), "main is broken");
    assert_eq!(*log.borrow(), ["task"]);
}

#[test]
fn tasks_that_are_left_are_cancelled_and_their_destructors_run_before_run_returns() {
    let log = Rc::new(RefCell::new(Vec::new()));
    run(async {
        for name in ["begun", "sleeping", "never begun"] {
            let held = OnDrop(Rc::clone(&log), name);
            create_task(async move {
                let _held = held;
                match name {
                    "begun" => std::future::pending::<()>().await,
                    _ => sleep(Duration::from_secs(3600)).await,
                }
            });
            if name != "never begun" {
                yield_now().await;
            }
        }
    });
    let mut dropped = log.borrow().clone();
    dropped.sort();
    assert_eq!(dropped, ["begun", "never begun", "sleeping"]);
    assert_eq!(Rc::strong_count(&log), 1, "nothing is leaked");
}

#[test]
fn a_task_that_a_destructor_creates_at_the_end_never_takes_a_step() {
    struct CreatesTask(Rc<Cell<u32>>, u32);
    impl Drop for CreatesTask {
        fn drop(&mut self) {
            if self.1 > 0 {
                let next = Self(Rc::clone(&self.0), self.1 - 1);
                create_task(async move {
                    next.0.set(1000);
                    drop(next);
                });
            }
            self.0.set(self.0.get() + 1);
        }
    }
    let dropped = Rc::new(Cell::new(0));
    let first = CreatesTask(Rc::clone(&dropped), 3);
    run(async move {
        create_task(async move {
            let _first = first;
            std::future::pending::<()>().await;
        });
        yield_now().await;
    });
    assert_eq!(dropped.get(), 4);
    assert_eq!(Rc::strong_count(&dropped), 1);
}

#[test]
fn what_a_finished_main_future_still_holds_is_dropped_inside_the_loop() {
    struct NeedsLoop;
    impl Drop for NeedsLoop {
        fn drop(&mut self) {
            rondel::time();
        }
    }
    let held = NeedsLoop;
    run(poll_fn(move |_| {
        let _held = &held;
        Poll::Ready(())
    }));
}

#[test]
fn the_end_waits_for_calls_that_threads_are_making() {
    let (entered, has_entered) = mpsc::channel();
    let (finished, has_finished) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let releasing = run(async {
        create_task(to_thread(move || {
            entered.send(()).unwrap();
            may_go_on.recv().unwrap();
            finished.send(()).unwrap();
        }));
        while has_entered.try_recv().is_err() {
            yield_now().await;
        }
        thread::spawn(move || go_on.send(()).unwrap())
    });
    assert!(has_finished.try_recv().is_ok());
    releasing.join().unwrap();
}

#[test]
fn a_runner_keeps_its_tasks_from_one_run_to_the_next() {
    let mut runner = Runner::new().unwrap();
    let steps = Rc::new(Cell::new(0));
    let counted = Rc::clone(&steps);
    let mut task = None;
    runner.run(async {
        task = Some(create_task(async move {
            loop {
                counted.set(counted.get() + 1);
                yield_now().await;
            }
        }));
        yield_now().await;
    });
    let task: rondel::Task<()> = task.unwrap();
    let before = steps.get();
    runner.run(async {
        for _ in 0..10 {
            yield_now().await;
        }
    });
    assert!(steps.get() >= before + 9, "{before} then {}", steps.get());
    assert!(!task.done());
    drop(runner);
    assert!(task.done());
    assert_eq!(Rc::strong_count(&steps), 1);
}

#[test]
fn several_loops_run_in_several_threads() {
    let (to_even, even_inbox) = channel();
    let (to_odd, odd_inbox) = channel();
    let even = thread::spawn(move || run(ping(0, even_inbox, to_odd)));
    let odd = thread::spawn(move || run(ping(1, odd_inbox, to_even)));
    assert_eq!(even.join().unwrap(), 50);
    assert_eq!(odd.join().unwrap(), 50);
}

/// A channel whose receiver is woken by the sender's thread.
fn channel() -> (Sender, Receiver) {
    let shared = Shared::default();
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

type Shared = Arc<Mutex<(Vec<u32>, Option<Waker>)>>;
struct Sender(Shared);
struct Receiver(Shared);

impl Sender {
    fn send(&self, value: u32) {
        let mut shared = self.0.lock().unwrap();
        shared.0.push(value);
        if let Some(waker) = shared.1.take() {
            waker.wake();
        }
    }
}

impl Receiver {
    async fn recv(&self) -> u32 {
        poll_fn(|cx| {
            let mut shared = self.0.lock().unwrap();
            if let Some(value) = shared.0.pop() {
                return Poll::Ready(value);
            }
            shared.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

async fn ping(number: u32, inbox: Receiver, other: Sender) -> u32 {
    let mut received = 0;
    if number == 0 {
        other.send(1);
    }
    while received < 50 {
        let value = inbox.recv().await;
        assert_eq!(value % 2, number);
        received += 1;
        other.send(value + 1);
    }
    received
}
