//! A loop that spins before it sleeps. Alone in its process, as `single_wake_up` is: it looks at
//! the process's only eventfd.
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]
#![cfg(target_os = "linux")]

mod support;

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rondel_engine::clock::Clock;
use rondel_engine::{Direction, Door, Notify, Ready};
use support::{Callback, TestDoor, say, stop, wake_ups};

/// Longer than any test takes: a loop that spins for so long does not come to sleep.
const ENDLESS: Duration = Duration::from_secs(3600);
/// Over at the first look.
const SHORT: Duration = Duration::from_nanos(1);

fn door(spin: Duration) -> TestDoor {
    let door = TestDoor::new(Clock::Monotonic);
    door.with(|event_loop| event_loop.set_spin(spin));
    door
}

/// Has a thread push `callback` when the loop is about to wait.
fn push_from_a_thread(door: &TestDoor, callback: Callback) -> thread::JoinHandle<()> {
    let inbox = door.with(|event_loop| Arc::clone(event_loop.inbox()));
    thread::spawn(move || inbox.push(Ready::Callback(callback)))
}

#[test]
fn a_loop_that_spins_sees_what_comes_and_one_that_has_stopped_spinning_is_woken() {
    // A push, with no system call.
    let spinning = door(ENDLESS);
    let thread = push_from_a_thread(&spinning, stop());
    spinning.run().unwrap();
    thread.join().unwrap();
    assert_eq!(wake_ups(), 0);

    // A ring without a push: the turn goes on, with what is there by then.
    let inbox = spinning.with(|event_loop| Arc::clone(event_loop.inbox()));
    let ran = Arc::new(AtomicBool::new(false));
    let ringing = Arc::clone(&ran);
    spinning.after_park.replace(Some(Box::new(|door| door.push(stop()))));
    let thread = thread::spawn(move || {
        while !ringing.load(Ordering::Relaxed) {
            inbox.wake();
            thread::yield_now();
        }
    });
    spinning.run().unwrap();
    ran.store(true, Ordering::Relaxed);
    thread.join().unwrap();
    assert_eq!(wake_ups(), 0);

    // A descriptor.
    let (reader, writer) = std::io::pipe().unwrap();
    spinning.with(|event_loop| {
        let waiter = Notify::Callback(stop());
        event_loop.watch(reader.as_raw_fd(), Direction::Read, waiter).unwrap();
    });
    let thread = thread::spawn(move || drop(writer));
    spinning.run().unwrap();
    thread.join().unwrap();

    // A deadline within the spin.
    spinning.with(|event_loop| {
        event_loop.unwatch(reader.as_raw_fd(), Direction::Read);
        let deadline = event_loop.now() + Duration::from_millis(2);
        event_loop.set_timer(deadline, Notify::Callback(stop()));
    });
    spinning.run().unwrap();
    assert!(spinning.with(|event_loop| event_loop.timers().is_empty()));
    drop(spinning);

    // A spin that is over: the loop sleeps, and every push wakes it, whether it spins or not.
    let sleeping = door(SHORT);
    for _ in 0..100 {
        sleeping.push(say("turn"));
        let thread = push_from_a_thread(&sleeping, stop());
        sleeping.run().unwrap();
        thread.join().unwrap();
    }
    assert_eq!(sleeping.logged().len(), 100);

    // A deadline after it.
    sleeping.with(|event_loop| {
        let deadline = event_loop.now() + Duration::from_millis(2);
        event_loop.set_timer(deadline, Notify::Callback(stop()));
    });
    sleeping.run().unwrap();
    assert!(sleeping.with(|event_loop| event_loop.timers().is_empty()));
}
