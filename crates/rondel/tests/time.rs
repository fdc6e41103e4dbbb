//! Sleeping, deadlines and timeouts, most of it on a clock that only jumps.
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use rondel::{
    Elapsed, Instant, MockClock, Runner, create_task, gather, run, sleep, sleep_until, time,
    timeout, to_thread, yield_now,
};

const SECOND: Duration = Duration::from_secs(1);

/// Runs on a mock clock; gives the output and what the clock says in the end.
fn run_mock<F: Future>(main: F) -> (F::Output, Duration) {
    let clock = MockClock::default();
    let mut runner = Runner::with_clock(clock.clone()).unwrap();
    let output = runner.run(main);
    (output, clock.now() - Instant::from_nanos(0))
}

#[test]
fn a_sleep_lasts_exactly_as_long_as_it_should_on_a_mock_clock() {
    let ((), passed) = run_mock(async {
        sleep(SECOND).await;
        assert_eq!(time(), Instant::from_nanos(1_000_000_000));
        sleep(Duration::from_nanos(1)).await;
    });
    assert_eq!(passed, SECOND + Duration::from_nanos(1));
}

#[test]
fn a_sleep_never_ends_early_on_the_real_clock() {
    run(async {
        for micros in [1, 10, 100, 1000, 5000] {
            let delay = Duration::from_micros(micros);
            let before = time();
            sleep(delay).await;
            assert!(time() - before >= delay);
        }
    });
}

#[test]
fn sleepers_wake_by_deadline_and_then_in_the_order_in_which_they_fell_asleep() {
    let log = Rc::new(RefCell::new(Vec::new()));
    run_mock(async {
        let tasks = [(0, 3), (1, 1), (2, 2), (3, 1), (4, 3)].map(|(number, seconds)| {
            let log = Rc::clone(&log);
            create_task(async move {
                sleep(SECOND * seconds).await;
                log.borrow_mut().push(number);
            })
        });
        gather(tasks).await;
    });
    assert_eq!(*log.borrow(), [1, 3, 2, 0, 4]);
}

#[test]
fn sleeps_overlap() {
    let (_, passed) = run_mock(async {
        gather!(sleep(SECOND), sleep(2 * SECOND), create_task(sleep(3 * SECOND))).await.2
    });
    assert_eq!(passed, 3 * SECOND);
}

#[test]
fn a_sleep_begins_when_it_is_first_awaited() {
    let ((), passed) = run_mock(async {
        let later = sleep(SECOND);
        sleep(SECOND).await;
        later.await;
    });
    assert_eq!(passed, 2 * SECOND);
}

#[test]
fn a_sleep_without_delay_gives_everybody_one_turn() {
    let log = Rc::new(RefCell::new(Vec::new()));
    run(async {
        for nap in 0..3 {
            let written = Rc::clone(&log);
            create_task(async move { written.borrow_mut().push("other") });
            match nap {
                0 => sleep(Duration::ZERO).await,
                1 => sleep_until(Instant::from_nanos(0)).await,
                _ => yield_now().await,
            }
            log.borrow_mut().push("main");
        }
    });
    assert_eq!(*log.borrow(), ["other", "main"].repeat(3));
}

#[test]
fn sleep_until_a_deadline_does_not_drift() {
    let ((), passed) = run_mock(async {
        let start = time();
        for tick in 1..=10 {
            sleep_until(start + SECOND * tick).await;
            sleep(Duration::from_millis(300)).await;
        }
    });
    assert_eq!(passed, Duration::from_millis(10_300));
}

#[test]
fn a_dropped_sleep_is_forgotten_by_the_loop() {
    run_mock(async {
        let waker = Arc::new(Nobody);
        {
            let mut long = pin!(sleep(100 * SECOND));
            let waker = Waker::from(Arc::clone(&waker));
            assert!(long.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        assert_eq!(Arc::strong_count(&waker), 1, "the timer is gone at once");
        sleep(200 * SECOND).await;
    });
}

struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {
        panic!("woken");
    }
}

#[test]
fn a_sleep_that_moves_to_another_task_wakes_that_one() {
    let ((), passed) = run_mock(async {
        let mut nap = Box::pin(sleep(5 * SECOND));
        let polled = Rc::new(Cell::new(false));
        std::future::poll_fn(|cx| {
            assert!(nap.as_mut().poll(cx).is_pending());
            polled.set(true);
            Poll::Ready(())
        })
        .await;
        create_task(nap).await.unwrap();
    });
    assert_eq!(passed, 5 * SECOND);
}

#[test]
fn a_sleep_can_be_carried_from_one_loop_to_the_next_and_dropped_after_both() {
    let mut nap = Box::pin(sleep(SECOND));
    let mut poll_once = || {
        run_mock(std::future::poll_fn(|cx| {
            assert!(nap.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        }));
    };
    poll_once();
    poll_once();
    let ((), passed) = run_mock(nap.as_mut());
    assert_eq!(passed, SECOND);
}

#[test]
fn the_longest_delay_there_is_does_not_overflow() {
    run_mock(async {
        let never = sleep(Duration::MAX);
        assert_eq!(timeout(SECOND, never).await, Err(Elapsed));
    });
}

#[test]
fn a_timeout_gives_the_output_of_what_is_fast_enough() {
    let (output, passed) = run_mock(timeout(2 * SECOND, async {
        sleep(SECOND).await;
        "done"
    }));
    assert_eq!(output, Ok("done"));
    assert_eq!(passed, SECOND);
}

#[test]
fn a_timeout_drops_what_is_too_slow_before_it_says_so() {
    struct OnDrop(Rc<Cell<bool>>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let dropped = Rc::new(Cell::new(false));
    let held = OnDrop(Rc::clone(&dropped));
    let ((), passed) = run_mock(async {
        let mut limited = pin!(timeout(SECOND, async move {
            let _held = held;
            pending::<()>().await;
        }));
        assert_eq!(limited.as_mut().await, Err(Elapsed));
        assert!(dropped.get());
    });
    assert_eq!(passed, SECOND);
}

#[test]
fn a_result_at_the_very_deadline_wins() {
    let (output, _) = run_mock(timeout(SECOND, sleep(SECOND)));
    assert_eq!(output, Ok(()));
}

#[test]
fn a_timeout_of_nothing_still_takes_what_is_ready() {
    let (outputs, passed) = run_mock(async {
        let ready = timeout(Duration::ZERO, async { 1 }).await;
        (ready, timeout(Duration::ZERO, pending::<i32>()).await)
    });
    assert_eq!(outputs, (Ok(1), Err(Elapsed)));
    assert_eq!(passed, Duration::ZERO);
}

#[test]
fn the_inner_of_nested_timeouts_fires_first() {
    let (output, passed) = run_mock(timeout(2 * SECOND, timeout(SECOND, pending::<()>())));
    assert_eq!(output, Ok(Err(Elapsed)));
    assert_eq!(passed, SECOND);
}

#[test]
fn an_elapsed_timeout_is_an_io_error_of_its_own_kind() {
    async fn slow() -> io::Result<()> {
        timeout(SECOND, pending::<()>()).await?;
        Ok(())
    }
    let (result, _) = run_mock(slow());
    let error = result.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "timed out");
}

#[test]
fn cancelled_timers_hold_nothing_back() {
    let ((), passed) = run_mock(async {
        for _ in 0..100_000 {
            assert_eq!(timeout(3600 * SECOND, yield_now()).await, Ok(()));
        }
    });
    assert_eq!(passed, Duration::ZERO);
}

#[test]
fn a_busy_task_does_not_keep_timers_waiting() {
    run(async {
        let busy = create_task(async {
            loop {
                yield_now().await;
            }
        });
        sleep(Duration::from_millis(2)).await;
        assert!(busy.cancel());
    });
}

#[test]
fn timers_fire_while_a_thread_is_at_work() {
    run(async {
        let (release, released) = std::sync::mpsc::channel();
        let call = create_task(to_thread(move || released.recv().unwrap()));
        sleep(Duration::from_millis(2)).await;
        release.send("released").unwrap();
        assert_eq!(call.await.unwrap(), "released");
    });
}
