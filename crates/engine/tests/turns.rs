//! What runs in which turn, and what ends a run.
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

mod support;

use std::future::poll_fn;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use rondel_engine::clock::{Clock, Instant};
use rondel_engine::{Direction, Door, EventLoop, Notify, Ready};
use support::{Broken, Callback, TestDoor, say, stop};

/// Logs its number and appends one like it, until `last`.
fn chain(number: u32, last: u32) -> Callback {
    Arc::new(move |door| {
        door.log(number.to_string());
        if number < last {
            door.push(chain(number + 1, last));
        }
        Ok(())
    })
}

#[test]
fn callbacks_run_in_the_order_in_which_they_were_pushed() {
    let door = TestDoor::mock();
    for text in ["a", "b", "c"] {
        door.push(say(text));
    }
    door.push(stop());
    door.run().unwrap();
    assert_eq!(door.logged(), ["a", "b", "c"]);
    assert_eq!((door.parks.get(), door.batches.get()), (1, 1), "one turn does it");
}

#[test]
fn what_a_turn_adds_waits_for_the_next_turn() {
    let door = TestDoor::mock();
    door.push(chain(1, 3));
    door.push(say("a"));
    door.push(stop());
    door.run().unwrap();
    assert_eq!(door.logged(), ["1", "a"]);
    assert_eq!(door.with(|event_loop| event_loop.ready().len()), 1);
    door.push(stop());
    door.run().unwrap();
    assert_eq!(door.logged(), ["2"]);
}

fn forever() -> Callback {
    Arc::new(|door| {
        door.push(forever());
        Ok(())
    })
}

#[test]
fn a_chain_of_callbacks_does_not_keep_a_timer_waiting() {
    let door = TestDoor::new(Clock::Monotonic);
    door.push(forever());
    door.with(|event_loop| {
        let soon = event_loop.now() + Duration::from_millis(1);
        event_loop.set_timer(soon, Notify::Callback(stop()));
    });
    door.run().unwrap();
    assert_eq!(door.parks.get(), door.polls.get(), "a loop that has work never sleeps");
}

#[test]
fn a_turn_takes_injected_work_then_events_then_deadlines_behind_what_was_ready() {
    let door = TestDoor::mock();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    rustix::io::write(&writer, b"x").unwrap();
    let fd = reader.as_raw_fd();
    door.with(|event_loop| {
        event_loop.set_timer(Instant::from_nanos(0), Notify::Callback(say("deadline")));
        let waiter = Notify::Callback(say("event"));
        event_loop.watch(fd, Direction::Read, waiter).unwrap();
        event_loop.inbox().push(Ready::Callback(say("injected")));
    });
    door.push(say("ready"));
    door.push(stop());
    door.run().unwrap();
    assert_eq!(door.logged(), ["ready", "injected", "event", "deadline"]);
}

#[test]
fn stop_ends_the_run_after_the_turn_and_only_once() {
    let door = TestDoor::mock();
    door.push(stop());
    door.push(say("rest of the turn"));
    door.run().unwrap();
    assert_eq!(door.logged(), ["rest of the turn"]);

    // A stop before the run: one turn, as in asyncio.
    door.with(EventLoop::stop);
    door.push(chain(1, 9));
    door.run().unwrap();
    assert_eq!(door.logged(), ["1"]);

    door.push(stop());
    door.run().unwrap();
    assert_eq!(door.logged(), ["2"], "the earlier stops are used up");
}

#[test]
fn an_error_ends_the_run_and_the_rest_of_the_turn_runs_first_in_the_next() {
    let door = TestDoor::mock();
    door.push(say("a"));
    door.push(Arc::new(|door| {
        door.push(say("later"));
        Err(Broken::Callback("broken"))
    }));
    door.push(say("b"));
    assert!(matches!(door.run(), Err(Broken::Callback("broken"))));
    assert_eq!(door.logged(), ["a"]);
    assert_eq!(door.batches.get(), 1, "what the batch left to be done is done all the same");

    door.push(stop());
    door.run().unwrap();
    assert_eq!(door.logged(), ["b", "later"]);
}

#[test]
fn an_error_takes_the_stop_with_it() {
    let door = TestDoor::mock();
    door.push(stop());
    door.push(Arc::new(|_| Err(Broken::Callback("broken"))));
    assert!(door.run().is_err());
    door.push(chain(1, 2));
    door.with(|event_loop| {
        event_loop.set_timer(Instant::from_nanos(9), Notify::Callback(stop()));
    });
    door.run().unwrap();
    assert_eq!(door.logged(), ["1", "2"], "not stopped after one turn");
}

#[test]
fn a_signal_ends_the_run_before_anything_of_the_turn_has_run() {
    let door = TestDoor::mock();
    door.break_parked.set(true);
    door.push(say("a"));
    door.push(stop());
    assert!(matches!(door.run(), Err(Broken::Callback("signal"))));
    assert!(door.logged().is_empty());
    door.run().unwrap();
    assert_eq!(door.logged(), ["a"], "nothing is lost");
}

#[test]
fn tasks_and_callbacks_share_one_queue() {
    let door = TestDoor::mock();
    let schedule = door.with(|event_loop| event_loop.scheduler());
    let logged = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&logged);
    let (runnable, task) = async_task::spawn(
        async move {
            seen.lock().unwrap().push("step 1");
            yield_now().await;
            seen.lock().unwrap().push("step 2");
        },
        schedule,
    );
    runnable.schedule();
    let seen = Arc::clone(&logged);
    door.with(|event_loop| {
        event_loop.inbox().push(Ready::Callback(Arc::new(move |door| {
            seen.lock().unwrap().push("callback");
            door.push(stop());
            Ok(())
        })));
    });
    door.run().unwrap();
    assert!(task.is_finished());
    assert_eq!(*logged.lock().unwrap(), ["step 1", "callback", "step 2"]);
}

async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn take_all_leaves_a_loop_with_nothing() {
    let door = TestDoor::mock();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    rustix::io::write(&writer, b"x").unwrap();
    let fd = reader.as_raw_fd();
    let held = Arc::new(());
    let holding = || -> Callback {
        let held = Arc::clone(&held);
        Arc::new(move |_| {
            let _ = &held;
            Ok(())
        })
    };
    door.push(holding());
    let timer = door.with(|event_loop| {
        let timer = event_loop.set_timer(Instant::from_nanos(1), Notify::Callback(holding()));
        let waiter = Notify::Callback(holding());
        event_loop.watch(fd, Direction::Read, waiter).unwrap();
        event_loop.inbox().push(Ready::Callback(holding()));
        timer
    });
    assert_eq!(Arc::strong_count(&held), 5);
    let remains = door.with(EventLoop::take_all);
    assert_eq!((remains.ready.len(), remains.notify.len()), (2, 2));
    assert_eq!(Arc::strong_count(&held), 5, "dropped by the caller, not under the borrow");
    drop(remains);
    assert_eq!(Arc::strong_count(&held), 1);
    door.with(|event_loop| {
        assert!(event_loop.cancel_timer(timer).is_none());
        assert_eq!(event_loop.watched().count(), 0);
        assert!(event_loop.inbox().is_empty());
    });
    door.push(stop());
    door.run().unwrap();
    assert!(door.logged().is_empty());
}
