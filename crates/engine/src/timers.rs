//! Deadlines in exact order, equal ones in the order in which they were set.
//!
//! A heap orders small keys; the entries themselves lie in a slab, so that a cancelled one gives
//! up its entry at once, whatever it kept alive. Its key stays in the heap until it comes up, or
//! until cancelled keys outnumber the live ones and are swept out together: a program that sets
//! and cancels a timeout per request pays a constant for each, and memory follows the live timers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use slab::Slab;

use crate::clock::Instant;

/// As many timers as there is room for without giving any back.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct HeapKey {
    deadline: Instant,
    serial: u64,
    slot: usize,
}

/// The loop's timers.
#[derive(Debug)]
pub struct Timers<E> {
    heap: BinaryHeap<Reverse<HeapKey>>,
    entries: Slab<(u64, E)>,
    next_serial: u64,
}

impl<E> Default for Timers<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), entries: Slab::new(), next_serial: 0 }
    }
}

impl<E> Timers<E> {
    /// Sets a timer.
    pub fn set(&mut self, deadline: Instant, entry: E) -> TimerKey {
        let serial = self.next_serial;
        self.next_serial += 1;
        let slot = self.entries.insert((serial, entry));
        self.heap.push(Reverse(HeapKey { deadline, serial, slot }));
        TimerKey { slot, serial }
    }

    /// Cancels a timer and gives its entry back; `None` if it has fired or was cancelled.
    pub fn cancel(&mut self, key: TimerKey) -> Option<E> {
        let (_, entry) = self.take(key.slot, key.serial)?;
        let cancelled = self.heap.len() - self.entries.len();
        if cancelled > SWEEP_ABOVE && cancelled > self.entries.len() {
            let entries = &self.entries;
            self.heap.retain(|Reverse(key)| is_live(entries, key));
        }
        Some(entry)
    }

    /// Whether a timer is set, and has neither fired nor been cancelled.
    pub fn contains(&self, key: TimerKey) -> bool {
        self.entries.get(key.slot).is_some_and(|(serial, _)| *serial == key.serial)
    }

    /// The earliest live deadline.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        while let Some(Reverse(key)) = self.heap.peek() {
            if is_live(&self.entries, key) {
                return Some(key.deadline);
            }
            self.heap.pop();
        }
        None
    }

    /// A moment before which no timer is due: the earliest deadline, or that of one that was
    /// cancelled.
    #[inline]
    pub fn earliest(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(key)| key.deadline)
    }

    /// Takes the earliest timer whose deadline is not after `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<E> {
        if self.next_deadline()? > now {
            return None;
        }
        let Reverse(key) = self.heap.pop()?;
        self.take(key.slot, key.serial).map(|(_, entry)| entry)
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
        self.heap.clear();
        self.entries.drain().map(|(_, entry)| entry).collect()
    }

    fn take(&mut self, slot: usize, serial: u64) -> Option<(u64, E)> {
        match self.entries.get(slot) {
            Some((live, _)) if *live == serial => {
                let (serial, entry) = self.entries.remove(slot);
                if self.entries.is_empty() && self.entries.capacity() > KEEP {
                    // After a flood the memory is given back, that of cancelled keys, too.
                    self.entries = Slab::new();
                    self.heap = BinaryHeap::new();
                }
                Some((serial, entry))
            }
            _ => None,
        }
    }
}

fn is_live<E>(entries: &Slab<(u64, E)>, key: &HeapKey) -> bool {
    entries.get(key.slot).is_some_and(|(serial, _)| *serial == key.serial)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn nothing_fires_before_its_deadline() {
        let mut timers = Timers::default();
        timers.set(at(10), 'a');
        assert_eq!(timers.pop_due(at(9)), None);
        assert_eq!(timers.pop_due(at(10)), Some('a'));
        assert!(timers.is_empty());
    }

    #[test]
    fn a_fired_or_cancelled_key_cancels_nothing_even_when_its_slot_is_used_again() {
        let mut timers = Timers::default();
        let first = timers.set(at(1), 'a');
        assert_eq!(timers.cancel(first), Some('a'));
        let second = timers.set(at(1), 'b');
        assert_eq!(timers.cancel(first), None);
        assert_eq!(timers.pop_due(at(1)), Some('b'));
        assert_eq!(timers.cancel(second), None);
    }

    #[test]
    fn cancelled_timers_do_not_pile_up() {
        let mut timers = Timers::default();
        let kept = timers.set(at(1_000_000), 0);
        for number in 1..100_000 {
            let key = timers.set(at(2_000_000), number);
            timers.cancel(key);
            assert!(timers.heap.len() <= 2 * SWEEP_ABOVE);
        }
        assert_eq!(timers.len(), 1);
        assert_eq!(timers.cancel(kept), Some(0));
    }

    proptest! {
        #[test]
        fn timers_fire_in_order_of_deadline_then_of_setting(
            deadlines in prop::collection::vec(0_u64..20, 0..300),
            cancelled in prop::collection::vec(any::<bool>(), 300),
        ) {
            let mut timers = Timers::default();
            let keys: Vec<_> = deadlines
                .iter()
                .enumerate()
                .map(|(number, deadline)| timers.set(at(*deadline), (*deadline, number)))
                .collect();
            let mut expected = Vec::new();
            for (number, key) in keys.iter().enumerate() {
                if cancelled[number] {
                    prop_assert_eq!(timers.cancel(*key), Some((deadlines[number], number)));
                } else {
                    expected.push((deadlines[number], number));
                }
            }
            expected.sort_unstable();
            let mut fired = Vec::new();
            for now in 0..20 {
                prop_assert_eq!(timers.len(), expected.len() - fired.len());
                while let Some(entry) = timers.pop_due(at(now)) {
                    prop_assert_eq!(entry.0, now);
                    fired.push(entry);
                }
            }
            prop_assert_eq!(fired, expected);
        }
    }
}
