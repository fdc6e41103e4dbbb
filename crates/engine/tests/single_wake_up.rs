//! Alone in its process: it looks at the process's only eventfd, whose counter nobody reads back,
//! so that it tells how many wake-ups there were.
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]
#![cfg(target_os = "linux")]

mod support;

use std::sync::Arc;
use std::thread;

use rondel_engine::clock::Clock;
use rondel_engine::{Door, Ready};
use support::{TestDoor, say, stop, wake_ups};

#[test]
fn however_many_threads_push_a_sleeping_loop_is_woken_once_and_a_busy_one_never() {
    let door = TestDoor::new(Clock::Monotonic);
    let inbox = door.with(|event_loop| Arc::clone(event_loop.inbox()));
    let push_from_threads = || {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let inbox = Arc::clone(&inbox);
                thread::spawn(move || {
                    for _ in 0..1000 {
                        inbox.push(Ready::Callback(say("letter")));
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    };

    // Nobody sleeps: the loop does not run.
    push_from_threads();
    assert_eq!(wake_ups(), 0);
    door.push(stop());
    door.run().unwrap();
    assert_eq!(door.logged().len(), 8000);
    assert_eq!(wake_ups(), 0);

    // A callback is running: the loop looks into the inbox before it sleeps again.
    let letters = Arc::clone(&inbox);
    door.push(Arc::new(move |_| {
        let inbox = Arc::clone(&letters);
        thread::spawn(move || inbox.push(Ready::Callback(stop()))).join().unwrap();
        Ok(())
    }));
    door.run().unwrap();
    assert_eq!(wake_ups(), 0);

    // It sleeps: the first push wakes it, those that come before it looks need not.
    let pushing = Arc::clone(&inbox);
    door.after_park.replace(Some(Box::new(move |_| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let inbox = Arc::clone(&pushing);
                thread::spawn(move || {
                    for _ in 0..1000 {
                        inbox.push(Ready::Callback(say("letter")));
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        pushing.push(Ready::Callback(stop()));
    })));
    let waking = thread::spawn(move || inbox.push(Ready::Callback(say("first"))));
    door.run().unwrap();
    waking.join().unwrap();
    assert_eq!(door.logged().len(), 4001);
    assert!(wake_ups() <= 1, "{} wake-ups", wake_ups());
}
