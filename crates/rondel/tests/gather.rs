//! Awaiting several at once.
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::cell::RefCell;
use std::future::{Future, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rondel::{MockClock, Runner, create_task, gather, run, sleep, timeout, yield_now};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn outputs_of_different_types_come_in_the_order_of_the_arguments() {
    let mut runner = Runner::with_clock(MockClock::default()).unwrap();
    let outputs = runner.run(async {
        gather!(
            async {
                sleep(2 * SECOND).await;
                "slow"
            },
            async {
                sleep(SECOND).await;
                7
            },
            ready(Some(1.5)),
            create_task(async { 'c' }),
        )
        .await
    });
    assert_eq!((outputs.0, outputs.1, outputs.2), ("slow", 7, Some(1.5)));
    assert_eq!(outputs.3.unwrap(), 'c');
}

#[test]
fn all_futures_run_at_once_and_may_borrow() {
    let log = RefCell::new(Vec::new());
    let step = async |name| {
        for _ in 0..2 {
            log.borrow_mut().push(name);
            yield_now().await;
        }
    };
    run(async { gather!(step('a'), step('b'), step('c')).await });
    assert_eq!(*log.borrow(), ['a', 'b', 'c', 'a', 'b', 'c']);
}

#[test]
fn one_future_twelve_futures_and_none_at_all() {
    run(async {
        assert_eq!(gather!(ready(1)).await, (1,));
        let ((), ()) = (gather!().await, ());
        let twelve = gather!(
            ready(1),
            ready(2),
            ready(3),
            ready(4),
            ready(5),
            ready(6),
            ready(7),
            ready(8),
            ready(9),
            ready(10),
            ready(11),
            ready(12)
        );
        assert_eq!(twelve.await.11, 12);
        let none: Vec<i32> = gather(Vec::<std::future::Ready<i32>>::new()).await;
        assert!(none.is_empty());
    });
}

#[test]
fn an_error_stops_nobody() {
    let mut runner = Runner::with_clock(MockClock::default()).unwrap();
    let (failed, worked) = runner.run(async {
        gather!(async { Err::<(), _>("broken") }, async {
            sleep(SECOND).await;
            Ok::<_, &str>("done")
        })
        .await
    });
    assert_eq!((failed, worked), (Err("broken"), Ok("done")));
}

#[test]
fn a_panic_goes_through_and_drops_the_others() {
    let shared = Rc::new(());
    let held = Rc::clone(&shared);
    let held_too = Rc::clone(&shared);
    run(async {
        let task = create_task(async move {
            let broken = async { panic!("broken") };
            gather!(broken, async move {
                pending::<()>().await;
                drop(held);
            })
            .await;
        });
        assert_eq!(task.await.unwrap_err().panic_message(), Some("broken"));

        let futures: [Pin<Box<dyn Future<Output = ()>>>; 2] = [
            Box::pin(async move {
                pending::<()>().await;
                drop(held_too);
            }),
            Box::pin(async { panic!("broken, too") }),
        ];
        let task = create_task(async { drop(gather(futures).await) });
        assert_eq!(task.await.unwrap_err().panic_message(), Some("broken, too"));
    });
    assert_eq!(Rc::strong_count(&shared), 1);
}

#[test]
fn dropping_the_whole_drops_all() {
    let shared = Rc::new(());
    let mut runner = Runner::with_clock(MockClock::default()).unwrap();
    runner.run(async {
        let hold = |held: Rc<()>| async move {
            pending::<()>().await;
            drop(held);
        };
        let both = gather!(hold(Rc::clone(&shared)), hold(Rc::clone(&shared)));
        assert!(timeout(SECOND, both).await.is_err());
        assert_eq!(Rc::strong_count(&shared), 1);

        let many = gather((0..10).map(|_| hold(Rc::clone(&shared))));
        assert!(timeout(SECOND, many).await.is_err());
        assert_eq!(Rc::strong_count(&shared), 1);
    });
}

#[test]
fn ten_thousand_come_in_order_whatever_the_order_of_their_end() {
    let mut runner = Runner::with_clock(MockClock::default()).unwrap();
    let outputs = runner.run(gather((0..10_000_u32).map(|number| async move {
        sleep(Duration::from_millis(u64::from(number * 7919 % 10_000))).await;
        number
    })));
    assert!(outputs.into_iter().eq(0..10_000));
}

#[test]
fn a_wake_up_polls_the_futures_that_were_woken_and_no_others() {
    let polls = RefCell::new(vec![0; 100]);
    run(async {
        gather((0..100).map(|number| {
            let polls = &polls;
            let mut left = if number == 42 { 50 } else { 1 };
            std::future::poll_fn(move |cx| {
                polls.borrow_mut()[number] += 1;
                if left == 0 {
                    return Poll::Ready(());
                }
                left -= 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            })
        }))
        .await
    });
    let polls = polls.into_inner();
    assert_eq!(polls[42], 51);
    assert_eq!(polls.iter().sum::<i32>(), 51 + 99 * 2);
}

#[test]
fn a_future_that_wakes_itself_lets_others_run() {
    let log = Rc::new(RefCell::new(Vec::new()));
    run(async {
        let written = Rc::clone(&log);
        create_task(async move {
            for _ in 0..2 {
                written.borrow_mut().push("other");
                yield_now().await;
            }
        });
        let log = &log;
        gather([async {
            for _ in 0..2 {
                yield_now().await;
                log.borrow_mut().push("gathered");
            }
        }])
        .await;
    });
    assert_eq!(*log.borrow(), ["other", "gathered", "other", "gathered"]);
}

#[test]
fn children_can_be_woken_from_other_threads() {
    run(async {
        let wake_elsewhere = || {
            let mut woken = false;
            std::future::poll_fn(move |cx| {
                if std::mem::replace(&mut woken, true) {
                    return Poll::Ready(());
                }
                let waker = cx.waker().clone();
                std::thread::spawn(move || waker.wake());
                Poll::Pending
            })
        };
        assert_eq!(gather((0..50).map(|_| wake_elsewhere())).await.len(), 50);
    });
}

#[test]
fn a_gather_that_panicked_can_still_be_dropped() {
    let mut whole = pin!(gather([std::future::poll_fn(|_| -> Poll<()> { panic!("once") })]));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(catch_unwind(AssertUnwindSafe(|| whole.as_mut().poll(&mut cx))).is_err());
    assert!(whole.as_mut().poll(&mut cx).is_pending());
}
