//! The way in from other threads.
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use rondel_engine::clock::Clock;
use rondel_engine::{Door, EventLoop, Ready};
use support::{Callback, TestDoor};

const THREADS: usize = 8;
const EACH: usize = 20_000;

/// Logs who sent it; stops the run when `total` have come.
fn letter(thread: usize, number: usize, total: usize) -> Callback {
    Arc::new(move |door| {
        door.log(format!("{thread} {number}"));
        if door.log.borrow().len() == total {
            door.with(EventLoop::stop);
        }
        Ok(())
    })
}

#[test]
fn nothing_is_lost_and_every_threads_order_is_kept() {
    let door = TestDoor::new(Clock::Monotonic);
    let inbox = door.with(|event_loop| Arc::clone(event_loop.inbox()));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || {
                for number in 0..EACH {
                    inbox.push(Ready::Callback(letter(thread, number, THREADS * EACH)));
                    if number % 1000 == 0 {
                        thread::yield_now(); // the loop falls asleep now and then
                    }
                }
            })
        })
        .collect();
    door.run().unwrap();
    for thread in threads {
        thread.join().unwrap();
    }
    let mut next = [0; THREADS];
    for letter in door.logged() {
        let (thread, number) = letter.split_once(' ').unwrap();
        let next = &mut next[thread.parse::<usize>().unwrap()];
        assert_eq!(number.parse::<usize>().unwrap(), *next);
        *next += 1;
    }
    assert_eq!(next, [EACH; THREADS]);
}

#[test]
fn one_letter_at_a_time_always_wakes_a_sleeping_loop() {
    const ROUNDS: usize = 20_000;
    let door = TestDoor::new(Clock::Monotonic);
    let inbox = door.with(|event_loop| Arc::clone(event_loop.inbox()));
    let (opened, has_opened) = std::sync::mpsc::channel();
    let sender = thread::spawn(move || {
        for number in 0..ROUNDS {
            let opened = opened.clone();
            inbox.push(Ready::Callback(Arc::new(move |door: &TestDoor| {
                opened.send(()).unwrap();
                if number + 1 == ROUNDS {
                    door.with(EventLoop::stop);
                }
                Ok(())
            })));
            has_opened.recv().unwrap(); // a lost wake-up would hang here
        }
    });
    door.run().unwrap();
    sender.join().unwrap();
}

#[test]
fn a_wake_alone_ends_the_sleep() {
    let door = TestDoor::new(Clock::Monotonic);
    let inbox = door.with(|event_loop| Arc::clone(event_loop.inbox()));
    let awake = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&awake);
    let waking = thread::spawn(move || {
        while !seen.load(Ordering::SeqCst) {
            inbox.wake(); // nothing, while the loop does not sleep
            thread::yield_now();
        }
    });
    door.push(Arc::new(move |door| {
        let awake = Arc::clone(&awake);
        door.after_park.replace(Some(Box::new(move |door| {
            awake.store(true, Ordering::SeqCst);
            door.with(EventLoop::stop);
        })));
        Ok(())
    }));
    door.run().unwrap();
    waking.join().unwrap();
    assert!(door.parks.get() > door.polls.get(), "it did sleep");
}

#[test]
fn threads_that_push_at_the_same_moment_are_all_heard() {
    let door = TestDoor::new(Clock::Monotonic);
    let inbox = door.with(|event_loop| Arc::clone(event_loop.inbox()));
    for _ in 0..200 {
        let start = Arc::new(Barrier::new(4));
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let (inbox, start) = (Arc::clone(&inbox), Arc::clone(&start));
                thread::spawn(move || {
                    start.wait();
                    inbox.push(Ready::Callback(letter(thread, 0, 4)));
                })
            })
            .collect();
        door.run().unwrap();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(door.logged().len(), 4);
    }
}
