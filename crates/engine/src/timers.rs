//! Deadlines in exact order, equal ones in the order in which they were set.
//!
//! Small keys are what is ordered; the entries themselves lie in a slab, so that a cancelled one
//! gives up its entry at once, whatever it kept alive. Keys of timers that were set since the last
//! look at what is due lie side by side: most timers that are cancelled soon, or due at the next
//! look, need no more order than that. The others go to a heap, where a cancelled one's key stays
//! until it comes up, or until cancelled keys outnumber the live ones and are swept out together: a
//! program that sets and cancels a timeout per request pays a constant for each, and memory
//! follows the live timers.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use slab::Slab;

use crate::clock::Instant;

/// Room for as many timers is never given back.
const KEEP: usize = 16 * 1024;

/// Sweeping a handful of keys costs more than it frees.
const SWEEP_ABOVE: usize = 64;

/// Names one timer; stays valid, and harmless, after the timer has fired or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerKey {
    slot: usize,
    serial: u64,
}

/// Ordered by deadline, then by the order of setting.
#[derive(Clone, Copy, Debug)]
struct Key {
    deadline: Instant,
    serial: u64,
    slot: usize,
}

impl Key {
    /// As one number, which is compared without a branch.
    #[inline]
    fn rank(&self) -> u128 {
        (u128::from(self.deadline.as_nanos()) << 64) | u128::from(self.serial)
    }
}

impl Ord for Key {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Key {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Key {}

/// The loop's timers.
#[derive(Debug)]
pub struct Timers<E> {
    /// The keys of those set since the last look, in the order of setting.
    fresh: Vec<Key>,
    /// The earliest deadline of them, of which some may have been cancelled since.
    fresh_earliest: Option<Instant>,
    /// The serial of the first timer set since the last look.
    fresh_from: u64,
    /// Whether one of those set since the last look was cancelled, so that `fresh` may have its key,
    /// and `fresh_earliest` be its deadline.
    fresh_cancelled: bool,
    /// The keys of the others.
    heap: BinaryHeap<Reverse<Key>>,
    /// Empty; has the room that the next look needs.
    due: Vec<Key>,
    entries: Slab<(u64, E)>,
    next_serial: u64,
}

impl<E> Default for Timers<E> {
    fn default() -> Self {
        Self {
            fresh: Vec::new(),
            fresh_earliest: None,
            fresh_from: 0,
            fresh_cancelled: false,
            heap: BinaryHeap::new(),
            due: Vec::new(),
            entries: Slab::new(),
            next_serial: 0,
        }
    }
}

impl<E> Timers<E> {
    /// Sets a timer.
    #[inline(always)]
    pub fn set(&mut self, deadline: Instant, entry: E) -> TimerKey {
        let serial = self.next_serial;
        self.next_serial += 1;
        let slot = self.entries.insert((serial, entry));
        self.fresh.push(Key { deadline, serial, slot });
        self.fresh_earliest = earlier(self.fresh_earliest, Some(deadline));
        TimerKey { slot, serial }
    }

    /// Cancels a timer and gives its entry back; `None` if it has fired or was cancelled.
    pub fn cancel(&mut self, key: TimerKey) -> Option<E> {
        let entry = self.take(key.slot, key.serial)?;
        if self.entries.is_empty() {
            self.forget_keys();
            self.give_back();
            return Some(entry);
        }
        self.fresh_cancelled |= key.serial >= self.fresh_from;
        // Who sets a timeout for what takes no time cancels what was set last.
        if self.fresh.last().is_some_and(|last| last.serial == key.serial) {
            self.fresh.pop();
        }
        let cancelled = self.fresh.len() + self.heap.len() - self.entries.len();
        if cancelled > SWEEP_ABOVE && cancelled > self.entries.len() {
            self.sweep();
        }
        Some(entry)
    }

    /// Whether a timer is set, and has neither fired nor been cancelled.
    pub fn contains(&self, key: TimerKey) -> bool {
        self.entries.get(key.slot).is_some_and(|(serial, _)| *serial == key.serial)
    }

    /// The earliest live deadline.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        self.sweep_fresh();
        while let Some(key) = self.heap.peek_mut() {
            if is_live(&self.entries, &key.0) {
                break;
            }
            PeekMut::pop(key);
        }
        self.earliest()
    }

    /// A moment before which no timer is due: the earliest deadline, or that of one that was
    /// cancelled.
    #[inline]
    pub fn earliest(&self) -> Option<Instant> {
        earlier(self.fresh_earliest, self.heap.peek().map(|Reverse(key)| key.deadline))
    }

    /// Takes the timers whose deadlines are not after `now`, in their order, and gives the entries
    /// to `each`.
    pub fn take_due(&mut self, now: Instant, mut each: impl FnMut(E)) {
        self.sweep_fresh();
        let mut due = std::mem::take(&mut self.due);
        while let Some(key) = self.heap.peek_mut() {
            if key.0.deadline > now {
                break;
            }
            due.push(PeekMut::pop(key).0);
        }
        if self.fresh_earliest.is_some_and(|earliest| earliest <= now) {
            for key in self.fresh.drain(..) {
                if key.deadline <= now {
                    due.push(key);
                } else {
                    self.heap.push(Reverse(key));
                }
            }
            due.sort_unstable();
        } else {
            self.heap.extend(self.fresh.drain(..).map(Reverse));
        }
        self.fresh_earliest = None;
        self.fresh_from = self.next_serial;
        for key in due.drain(..) {
            if let Some(entry) = self.take(key.slot, key.serial) {
                each(entry);
            }
        }
        self.due = due;
        if self.entries.is_empty() {
            self.forget_keys();
        }
        self.give_back();
    }

    /// How many timers are set.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no timer is set.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every entry that is set, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.entries.iter().map(|(_, (_, entry))| entry)
    }

    /// Takes everything out, for the caller to drop where dropping is safe.
    #[must_use]
    pub fn take_all(&mut self) -> Vec<E> {
        self.forget_keys();
        self.entries.drain().map(|(_, entry)| entry).collect()
    }

    #[inline(always)]
    fn take(&mut self, slot: usize, serial: u64) -> Option<E> {
        match self.entries.get(slot) {
            Some((live, _)) if *live == serial => Some(self.entries.remove(slot).1),
            _ => None,
        }
    }

    /// Makes `fresh` have the keys of live timers alone.
    fn sweep_fresh(&mut self) {
        if std::mem::take(&mut self.fresh_cancelled) {
            let entries = &self.entries;
            self.fresh.retain(|key| is_live(entries, key));
            self.fresh_earliest = self.fresh.iter().map(|key| key.deadline).min();
        }
    }

    /// Makes all keys those of live timers.
    #[cold]
    fn sweep(&mut self) {
        self.sweep_fresh();
        let entries = &self.entries;
        self.heap.retain(|Reverse(key)| is_live(entries, key));
        self.give_back();
    }

    /// Gives memory back after a flood, of which the entries are the measure.
    #[inline]
    fn give_back(&mut self) {
        if self.entries.capacity() > KEEP {
            self.shrink();
        }
    }

    /// Keeps what four times the live timers need, and entries up to the last live one, which
    /// cannot be moved.
    #[cold]
    fn shrink(&mut self) {
        let enough = KEEP.max(4 * self.entries.len());
        if self.entries.capacity() > enough {
            self.entries.shrink_to_fit();
        }
        if self.heap.capacity() > enough {
            self.heap.shrink_to(enough);
        }
        for keys in [&mut self.fresh, &mut self.due] {
            if keys.capacity() > enough {
                keys.shrink_to(enough);
            }
        }
    }

    /// Called when no timer is set.
    fn forget_keys(&mut self) {
        self.fresh.clear();
        self.fresh_earliest = None;
        self.heap.clear();
    }
}

fn is_live<E>(entries: &Slab<(u64, E)>, key: &Key) -> bool {
    entries.get(key.slot).is_some_and(|(serial, _)| *serial == key.serial)
}

/// The earlier of two moments, of which either may be missing.
#[inline]
fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    fn due<E>(timers: &mut Timers<E>, now: u64) -> Vec<E> {
        let mut due = Vec::new();
        timers.take_due(at(now), |entry| due.push(entry));
        due
    }

    fn keys<E>(timers: &Timers<E>) -> usize {
        timers.fresh.len() + timers.heap.len()
    }

    #[test]
    fn nothing_fires_before_its_deadline() {
        let mut timers = Timers::default();
        timers.set(at(10), 'a');
        assert_eq!(due(&mut timers, 9), []);
        assert_eq!(due(&mut timers, 10), ['a']);
        assert!(timers.is_empty());
    }

    #[test]
    fn a_fired_or_cancelled_key_cancels_nothing_even_when_its_slot_is_used_again() {
        let mut timers = Timers::default();
        let first = timers.set(at(1), 'a');
        assert_eq!(timers.cancel(first), Some('a'));
        let second = timers.set(at(1), 'b');
        assert_eq!(timers.cancel(first), None);
        assert_eq!(due(&mut timers, 1), ['b']);
        assert_eq!(timers.cancel(second), None);
    }

    #[test]
    fn cancelled_timers_do_not_pile_up() {
        for looks in [false, true] {
            let mut timers = Timers::default();
            let kept = timers.set(at(1_000_000), 0);
            let mut last = kept;
            for number in 1..100_000 {
                let key = timers.set(at(2_000_000), number);
                if number > 1 {
                    timers.cancel(last);
                }
                last = key;
                if looks {
                    assert_eq!(due(&mut timers, 0), []);
                }
                assert!(keys(&timers) <= 2 * SWEEP_ABOVE);
            }
            assert_eq!(timers.len(), 2);
            assert_eq!(timers.cancel(kept), Some(0));
        }
    }

    #[test]
    fn memory_is_given_back_after_a_flood_also_while_a_timer_stays_set() {
        for fired in [false, true] {
            let mut timers = Timers::default();
            timers.set(at(1_000_000), 0);
            let flood: Vec<_> = (0..20 * KEEP).map(|number| timers.set(at(1), number)).collect();
            if fired {
                assert_eq!(due(&mut timers, 0), []);
                assert_eq!(due(&mut timers, 1).len(), flood.len());
            }
            for key in flood {
                assert_eq!(timers.cancel(key).is_some(), !fired);
            }
            assert_eq!(due(&mut timers, 2), []);
            let room = [
                timers.entries.capacity(),
                timers.heap.capacity(),
                timers.fresh.capacity(),
                timers.due.capacity(),
            ];
            assert!(room.into_iter().all(|room| room <= KEEP), "{room:?}");
            assert_eq!(timers.next_deadline(), Some(at(1_000_000)));
        }
    }

    #[test]
    fn the_earliest_deadline_is_not_that_of_a_cancelled_timer() {
        for looks in [false, true] {
            let mut timers = Timers::default();
            let first = timers.set(at(1), 'a');
            timers.set(at(3), 'b');
            let second = timers.set(at(2), 'c');
            if looks {
                assert_eq!(due(&mut timers, 0), []);
            }
            for (key, next) in [(first, 2), (second, 3)] {
                assert!(timers.cancel(key).is_some());
                assert_eq!(timers.next_deadline(), Some(at(next)));
            }
        }
    }

    #[test]
    fn without_timers_there_is_no_deadline_and_no_key() {
        let mut timers = Timers::default();
        let kept = timers.set(at(9), 0);
        for number in 1..9 {
            let cancelled = timers.set(at(number), number);
            assert_eq!(due(&mut timers, 0), []);
            timers.cancel(cancelled);
        }
        timers.cancel(kept);
        assert_eq!((timers.earliest(), keys(&timers)), (None, 0));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(u64),
        /// Cancels one of those that were set: so many before the last one.
        Cancel(usize),
        /// Lets time pass.
        Look(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0_u64..20).prop_map(Step::Set),
            2 => (0_usize..8).prop_map(Step::Cancel),
            1 => (0_u64..8).prop_map(Step::Look),
        ]
    }

    proptest! {
        #[test]
        fn timers_fire_in_order_of_deadline_then_of_setting(
            steps in prop::collection::vec(step(), 0..300),
        ) {
            let (mut timers, mut now) = (Timers::default(), 0);
            let mut set = Vec::new();
            let mut live = std::collections::BTreeSet::new();
            for step in steps {
                match step {
                    Step::Set(delay) => {
                        // Some deadlines are past when they are set.
                        let timer = ((now + delay).saturating_sub(2), set.len());
                        set.push((timer, timers.set(at(timer.0), timer)));
                        live.insert(timer);
                    }
                    Step::Cancel(before) => {
                        if let Some((timer, key)) = set.iter().nth_back(before) {
                            let cancelled = live.remove(timer).then_some(*timer);
                            prop_assert_eq!(timers.cancel(*key), cancelled);
                        }
                    }
                    Step::Look(passed) => {
                        prop_assert_eq!(timers.next_deadline(), live.first().map(|it| at(it.0)));
                        now += passed;
                        let later = live.split_off(&(now + 1, 0));
                        let expected: Vec<_> = std::mem::replace(&mut live, later).into_iter().collect();
                        prop_assert_eq!(due(&mut timers, now), expected);
                    }
                }
                prop_assert_eq!(timers.len(), live.len());
                prop_assert!(keys(&timers) <= 2 * live.len().max(SWEEP_ABOVE));
                prop_assert!(live.first().is_none_or(|it| timers.earliest() <= Some(at(it.0))));
            }
        }
    }
}
