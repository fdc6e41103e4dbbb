//! Timers as a run sees them, on a clock that jumps and on the real one.
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

mod support;

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rondel_engine::clock::{Clock, Instant, MockClock};
use rondel_engine::{Direction, Door, EventLoop, Notify, Ready};
use support::{Callback, TestDoor, say, stop};

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn say_time(text: &'static str) -> Callback {
    Arc::new(move |door| {
        let now = door.with(|event_loop| event_loop.now());
        door.log(format!("{text} at {}", now.as_nanos()));
        Ok(())
    })
}

#[test]
fn a_mock_clock_jumps_from_deadline_to_deadline() {
    let door = TestDoor::mock();
    door.with(|event_loop| {
        event_loop.set_timer(at(3_600_000_000_000), Notify::Callback(stop()));
        event_loop.set_timer(at(20), Notify::Callback(say_time("second")));
        event_loop.set_timer(at(10), Notify::Callback(say_time("first")));
        event_loop.set_timer(at(20), Notify::Callback(say_time("third")));
    });
    door.run().unwrap();
    assert_eq!(door.logged(), ["first at 10", "second at 20", "third at 20"]);
    assert_eq!(door.parks.get(), door.polls.get(), "nobody slept");
}

#[test]
fn a_mock_clock_stands_still_while_there_is_anything_to_do() {
    let door = TestDoor::mock();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    rustix::io::write(&writer, b"x").unwrap();
    let fd = reader.as_raw_fd();
    let reads: Callback = Arc::new(move |door| {
        say_time("readable")(door)?;
        door.with(|event_loop| event_loop.unwatch(fd, Direction::Read));
        door.push(say_time("pushed"));
        let inbox = door.with(|event_loop| Arc::clone(event_loop.inbox()));
        std::thread::spawn(move || inbox.push(Ready::Callback(say_time("injected"))))
            .join()
            .unwrap();
        Ok(())
    });
    door.with(|event_loop| {
        event_loop.set_timer(at(5), Notify::Callback(stop()));
        event_loop.watch(fd, Direction::Read, Notify::Callback(reads)).unwrap();
    });
    door.run().unwrap();
    assert_eq!(door.logged(), ["readable at 0", "pushed at 0", "injected at 0"]);
}

#[test]
fn a_mock_clock_can_be_moved_by_hand_and_never_back() {
    let clock = MockClock::default();
    let door = TestDoor::new(Clock::Mock(clock.clone()));
    door.with(|event_loop| event_loop.set_timer(at(100), Notify::Callback(stop())));
    clock.advance(Duration::from_nanos(150));
    clock.advance_to(at(120));
    assert_eq!(clock.now(), at(150));
    door.run().unwrap();
    assert_eq!(clock.now(), at(150), "the deadline had passed: no jump");
}

#[test]
fn a_timer_that_is_set_in_the_past_fires_in_the_next_turn() {
    let door = TestDoor::mock();
    door.push(Arc::new(|door| {
        door.with(|event_loop| {
            event_loop.set_timer(at(0), Notify::Callback(say("timer")));
        });
        door.push(say("pushed"));
        door.push(stop());
        Ok(())
    }));
    door.run().unwrap();
    assert_eq!(door.logged(), ["pushed", "timer"]);
}

#[test]
fn a_cancelled_timer_does_not_fire_and_gives_its_callback_back() {
    let door = TestDoor::mock();
    door.with(|event_loop| {
        let key = event_loop.set_timer(at(1), Notify::Callback(say("cancelled")));
        event_loop.set_timer(at(2), Notify::Callback(stop()));
        assert!(matches!(event_loop.cancel_timer(key), Some(Notify::Callback(_))));
        assert!(event_loop.cancel_timer(key).is_none());
    });
    door.run().unwrap();
    assert!(door.logged().is_empty());
    assert_eq!(door.with(|event_loop| event_loop.now()), at(2));
}

#[test]
fn a_deadline_is_never_met_early_on_the_real_clock() {
    let door = TestDoor::new(Clock::Monotonic);
    for micros in [1, 50, 1000, 2000] {
        let deadline = door.with(|event_loop| {
            let deadline = event_loop.now() + Duration::from_micros(micros);
            event_loop.set_timer(deadline, Notify::Callback(stop()));
            deadline
        });
        door.run().unwrap();
        assert!(door.with(|event_loop| event_loop.now()) >= deadline);
    }
}

#[test]
fn wakers_of_deadlines_are_woken_outside_the_loop() {
    struct UsesLoop(Arc<AtomicUsize>, std::sync::mpsc::Sender<()>);
    impl std::task::Wake for UsesLoop {
        fn wake(self: Arc<Self>) {
            DOOR.with(|door| door.push(stop())); // panics if the loop is borrowed
            self.0.fetch_add(1, Ordering::Relaxed);
            self.1.send(()).unwrap();
        }
    }
    thread_local! {
        static DOOR: TestDoor = TestDoor::mock();
    }
    let woken = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = std::sync::mpsc::channel();
    DOOR.with(|door| {
        door.with(|event_loop: &mut EventLoop<Callback>| {
            let waker = Arc::new(UsesLoop(Arc::clone(&woken), sender)).into();
            event_loop.set_timer(at(1), Notify::Waker(waker));
        });
        door.run().unwrap();
    });
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    assert!(receiver.try_recv().is_ok());
}

#[test]
fn two_hundred_thousand_timers_of_which_half_are_cancelled_fire_in_order() {
    let door = TestDoor::mock();
    let fired = Arc::new(std::sync::Mutex::new(Vec::new()));
    door.with(|event_loop| {
        let mut cancelled = Vec::new();
        for number in 0..200_000_u64 {
            let fired = Arc::clone(&fired);
            let deadline = at(number * 7919 % 1009);
            let entry: Callback = Arc::new(move |_| {
                fired.lock().unwrap().push((deadline, number));
                Ok(())
            });
            let key = event_loop.set_timer(deadline, Notify::Callback(entry));
            if number % 2 == 1 {
                cancelled.push(key);
            }
        }
        for key in cancelled {
            assert!(event_loop.cancel_timer(key).is_some());
        }
        event_loop.set_timer(at(2000), Notify::Callback(stop()));
    });
    door.run().unwrap();
    let fired = fired.lock().unwrap();
    assert_eq!(fired.len(), 100_000);
    assert!(fired.is_sorted());
    assert!(door.with(|event_loop| event_loop.timers().is_empty()));
}

#[test]
fn a_loop_spins_only_if_told_to_and_never_on_a_mock_clock() {
    let limit = Duration::from_micros(20);
    for (door, told) in
        [(TestDoor::new(Clock::Monotonic), limit), (TestDoor::mock(), Duration::ZERO)]
    {
        assert_eq!(door.with(|event_loop| event_loop.spin()), Duration::ZERO);
        door.with(|event_loop| event_loop.set_spin(limit));
        assert_eq!(door.with(|event_loop| event_loop.spin()), told);
        door.with(|event_loop| event_loop.set_spin(Duration::ZERO));
        assert_eq!(door.with(|event_loop| event_loop.spin()), Duration::ZERO);
    }
}
