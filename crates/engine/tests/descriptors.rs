//! Who is told that a descriptor is ready, and who is not.
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

mod support;

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use rondel_engine::clock::Instant;
use rondel_engine::{Direction, Door, Notify};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Callback, TestDoor, say, stop};

fn pair() -> (UnixStream, UnixStream) {
    let (one, other) = UnixStream::pair().unwrap();
    one.set_nonblocking(true).unwrap();
    other.set_nonblocking(true).unwrap();
    (one, other)
}

fn watch(door: &TestDoor, fd: RawFd, direction: Direction, callback: Callback) {
    door.with(|event_loop| event_loop.watch(fd, direction, Notify::Callback(callback)).unwrap());
}

/// Runs until the loop finds nothing to do but wait for this deadline.
fn run_until_idle(door: &TestDoor) {
    door.with(|event_loop| {
        let later = event_loop.now() + std::time::Duration::from_secs(1);
        event_loop.set_timer(later, Notify::Callback(stop()));
    });
    door.run().unwrap();
}

#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_callback_is_called_at_every_turn_until_the_descriptor_is_no_longer_ready() {
    let door = TestDoor::mock();
    let (reader, mut writer) = pair();
    writer.write_all(b"abc").unwrap();
    let fd = reader.as_raw_fd();
    let reader = Arc::new(reader);
    let reading = Arc::clone(&reader);
    let reads: Callback = Arc::new(move |door| {
        let mut byte = [0];
        (&*reading).read_exact(&mut byte).unwrap();
        door.log(char::from(byte[0]));
        Ok(())
    });
    watch(&door, fd, Direction::Read, reads);
    run_until_idle(&door);
    assert_eq!(door.logged(), ["a", "b", "c"]);
    writer.write_all(b"d").unwrap();
    run_until_idle(&door);
    assert_eq!(door.logged(), ["d"], "it is still watched");
    door.with(|event_loop| event_loop.unwatch(fd, Direction::Read)).unwrap();
    writer.write_all(b"e").unwrap();
    run_until_idle(&door);
    assert!(door.logged().is_empty());
}

#[test]
fn a_waker_is_woken_once_and_then_the_kernel_is_told_so_that_nobody_spins() {
    let door = TestDoor::mock();
    let (reader, mut writer) = pair();
    writer.write_all(b"never read").unwrap();
    let counter = Arc::new(Counter::default());
    let waker = Waker::from(Arc::clone(&counter));
    door.with(|event_loop| {
        event_loop.watch(reader.as_raw_fd(), Direction::Read, Notify::Waker(waker)).unwrap();
    });
    run_until_idle(&door);
    assert_eq!(counter.0.load(Ordering::Relaxed), 1);
    assert_eq!(door.with(|event_loop| event_loop.watched().count()), 0);
    let parks = door.parks.get();
    assert!(parks <= 4, "{parks} parks: the event, its end, and the jump to the deadline");
    assert_eq!(Arc::strong_count(&counter), 1, "the Waker is not kept");
}

#[test]
fn a_waker_that_comes_back_after_an_event_is_woken_by_the_next() {
    let door = TestDoor::mock();
    let (mut reader, mut writer) = pair();
    let counter = Arc::new(Counter::default());
    for round in 1..=3 {
        let waker = Waker::from(Arc::clone(&counter));
        door.with(|event_loop| {
            let fd = reader.as_raw_fd();
            let replaced = event_loop.watch(fd, Direction::Read, Notify::Waker(waker)).unwrap();
            assert!(replaced.is_none());
        });
        writer.write_all(b"x").unwrap();
        run_until_idle(&door);
        assert_eq!(counter.0.load(Ordering::Relaxed), round);
        reader.read_exact(&mut [0]).unwrap();
    }
}

#[test]
fn readers_and_writers_of_one_descriptor_are_told_separately() {
    let door = TestDoor::mock();
    let (one, mut other) = pair();
    let fd = one.as_raw_fd();
    let writes: Callback = Arc::new(move |door| {
        door.log("writable");
        door.with(|event_loop| event_loop.unwatch(fd, Direction::Write));
        Ok(())
    });
    let reads: Callback = Arc::new(move |door| {
        door.log("readable");
        door.with(|event_loop| event_loop.unwatch(fd, Direction::Read));
        Ok(())
    });
    watch(&door, fd, Direction::Read, reads);
    watch(&door, fd, Direction::Write, writes);
    run_until_idle(&door);
    assert_eq!(door.logged(), ["writable"]);
    other.write_all(b"x").unwrap();
    run_until_idle(&door);
    assert_eq!(door.logged(), ["readable"]);
}

#[test]
fn a_hang_up_is_for_whoever_waits() {
    for direction in [Direction::Read, Direction::Write] {
        let door = TestDoor::mock();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let (fd, other) = match direction {
            Direction::Read => (reader, writer),
            Direction::Write => (writer, reader),
        };
        // A full pipe has no room, so that only the hang-up can be what wakes the writer.
        rustix::io::ioctl_fionbio(&fd, true).unwrap();
        while direction == Direction::Write && rustix::io::write(&fd, &[0; 4096]).is_ok() {}
        let raw = fd.as_raw_fd();
        let told: Callback = Arc::new(move |door| {
            door.log("told");
            door.with(|event_loop| event_loop.unwatch(raw, direction));
            Ok(())
        });
        watch(&door, raw, direction, told);
        run_until_idle(&door);
        assert!(door.logged().is_empty());
        drop(other);
        run_until_idle(&door);
        assert_eq!(door.logged(), ["told"], "{direction:?}");
    }
}

#[test]
fn a_new_callback_takes_the_place_of_the_old_which_is_given_back() {
    let door = TestDoor::mock();
    let (reader, mut writer) = pair();
    let fd = reader.as_raw_fd();
    watch(&door, fd, Direction::Read, say("old"));
    let replaced = door.with(|event_loop| {
        let new: Callback = Arc::new(move |door| {
            door.log("new");
            door.with(|event_loop| event_loop.unwatch(fd, Direction::Read));
            Ok(())
        });
        event_loop.watch(fd, Direction::Read, Notify::Callback(new)).unwrap()
    });
    assert!(matches!(replaced, Some(Notify::Callback(_))));
    writer.write_all(b"x").unwrap();
    run_until_idle(&door);
    assert_eq!(door.logged(), ["new"]);
}

#[test]
fn an_event_of_a_descriptors_earlier_life_is_not_delivered_to_its_next() {
    let door = TestDoor::mock();
    let (old, mut old_writer) = pair();
    let fd = old.as_raw_fd();
    watch(&door, fd, Direction::Read, say("old"));
    old_writer.write_all(b"x").unwrap();

    // Between the park that brought the event and its delivery the number changes hands.
    let (new, new_writer) = pair();
    let mut changing = Some(OwnedFd::from(old));
    door.after_park.replace(Some(Box::new(move |door| {
        let Some(mut number) = changing.take() else { return };
        door.with(|event_loop| event_loop.unwatch(fd, Direction::Read));
        rustix::io::dup2(&new, &mut number).unwrap();
        watch(door, fd, Direction::Read, say("new"));
        std::mem::forget(number); // closed with the process
    })));
    run_until_idle(&door);
    assert!(door.logged().is_empty(), "neither the old one, nor the new one in its place");
    drop(new_writer);
}

#[test]
fn a_descriptor_that_was_closed_without_a_word_can_be_watched_again_under_its_number() {
    let door = TestDoor::mock();
    let (old, _old_writer) = pair();
    let fd = old.as_raw_fd();
    watch(&door, fd, Direction::Read, say("old"));
    let (new, mut new_writer) = pair();
    let mut number = OwnedFd::from(old);
    rustix::io::dup2(&new, &mut number).unwrap(); // closes the old file and takes its number
    let told: Callback = Arc::new(move |door| {
        door.log("new");
        door.with(|event_loop| event_loop.unwatch(fd, Direction::Read));
        Ok(())
    });
    watch(&door, fd, Direction::Read, told);
    new_writer.write_all(b"x").unwrap();
    run_until_idle(&door);
    assert_eq!(door.logged(), ["new"]);
}

#[test]
fn what_cannot_be_watched_is_an_error_and_leaves_nothing_behind() {
    let door = TestDoor::mock();
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    for (fd, errno) in [
        (file.as_raw_fd(), rustix::io::Errno::PERM),
        (1_000_000, rustix::io::Errno::BADF),
        (-1, rustix::io::Errno::BADF),
    ] {
        let watched = door.with(|event_loop| {
            event_loop.watch(fd, Direction::Read, Notify::Callback(say("never"))).map(drop)
        });
        let error = watched.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(errno.raw_os_error()));
        door.with(|event_loop| {
            assert!(event_loop.waiter(fd, Direction::Read).is_none());
            assert!(event_loop.unwatch(fd, Direction::Read).is_none());
            assert_eq!(event_loop.watched().count(), 0);
        });
    }
}

#[test]
fn more_descriptors_than_one_park_can_bring_are_all_served() {
    let door = TestDoor::mock();
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let (reader, mut writer) = pair();
    writer.write_all(b"x").unwrap();
    // Where not even this many are allowed, as many as are.
    let allowed = limit.maximum.map_or(usize::MAX, |maximum| usize::try_from(maximum).unwrap());
    let count = allowed.saturating_sub(100).min(1500);
    let readers: Vec<_> = (0..count).map(|_| reader.try_clone().unwrap()).collect();
    for reader in &readers {
        let fd = reader.as_raw_fd();
        let told: Callback = Arc::new(move |door| {
            door.log(fd.to_string());
            door.with(|event_loop| event_loop.unwatch(fd, Direction::Read));
            Ok(())
        });
        watch(&door, fd, Direction::Read, told);
    }
    run_until_idle(&door);
    let mut told = door.logged();
    told.sort();
    told.dedup();
    assert_eq!(told.len(), count);
    assert_eq!(door.with(|event_loop| event_loop.now()), Instant::from_nanos(1_000_000_000));
}
