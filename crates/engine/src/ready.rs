//! The ready queue: one FIFO for everything that can run now.

use std::collections::VecDeque;

use async_task::Runnable;

/// As many entries as the queue has room for without giving any back: 256 KiB of them.
const KEEP: usize = 16 * 1024;

/// So many entries before it runs a door is told of an entry: memory takes as long to come.
const SOON: usize = 3;

/// Something that can run now, without a box around it.
#[derive(Debug)]
pub enum Ready<C> {
    /// One step of a Rust task.
    Task(Runnable),
    /// A callback of the door.
    Callback(C),
}

/// First in, first out, with a mark behind the last entry of the current turn.
///
/// A turn runs exactly what was ready when it began: what its callbacks add waits for the next
/// turn, so that I/O and timers get their share however busy the callbacks are.
#[derive(Debug)]
pub struct ReadyQueue<C> {
    entries: VecDeque<Ready<C>>,
    left_in_turn: usize,
}

impl<C> Default for ReadyQueue<C> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), left_in_turn: 0 }
    }
}

impl<C> ReadyQueue<C> {
    /// Appends an entry.
    pub fn push(&mut self, entry: Ready<C>) {
        self.entries.push_back(entry);
    }

    /// Appends all of `entries`, in order, and leaves the vector empty with its capacity.
    pub fn append(&mut self, entries: &mut Vec<Ready<C>>) {
        self.entries.extend(entries.drain(..));
    }

    /// Sets the mark: the turn is what is here now.
    pub fn begin_turn(&mut self) {
        self.left_in_turn = self.entries.len();
        // After a flood the memory is given back; a program whose turns are large keeps it.
        let capacity = self.entries.capacity();
        if capacity > KEEP && self.left_in_turn < capacity / 8 {
            self.entries.shrink_to(KEEP.max(self.left_in_turn * 2));
        }
    }

    /// Takes the next entry of the turn, or `None` when the turn is over.
    ///
    /// Entries that a turn leaves behind (its run was ended by an error) stay, in their place.
    pub fn next_of_turn(&mut self) -> Option<Ready<C>> {
        self.left_in_turn = self.left_in_turn.checked_sub(1)?;
        self.entries.pop_front()
    }

    /// The entry that runs a few entries from now, in this turn or the next.
    #[inline]
    pub(crate) fn soon(&self) -> Option<&Ready<C>> {
        self.entries.get(SOON)
    }

    /// How many entries wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries in the order in which they will run.
    pub fn iter(&self) -> impl Iterator<Item = &Ready<C>> {
        self.entries.iter()
    }

    /// Takes everything out, for the caller to drop where dropping is safe.
    #[must_use]
    pub fn take_all(&mut self) -> VecDeque<Ready<C>> {
        self.left_in_turn = 0;
        std::mem::take(&mut self.entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(queue: &mut ReadyQueue<u32>) -> Vec<u32> {
        let mut seen = Vec::new();
        while let Some(Ready::Callback(number)) = queue.next_of_turn() {
            seen.push(number);
        }
        seen
    }

    #[test]
    fn a_turn_runs_exactly_what_was_ready_when_it_began() {
        let mut queue = ReadyQueue::default();
        for number in 0..3 {
            queue.push(Ready::Callback(number));
        }
        queue.begin_turn();
        queue.push(Ready::Callback(3));
        assert_eq!(numbers(&mut queue), [0, 1, 2]);
        queue.begin_turn();
        assert_eq!(numbers(&mut queue), [3]);
    }

    #[test]
    fn entries_of_a_broken_off_turn_run_first_in_the_next() {
        let mut queue = ReadyQueue::default();
        for number in 0..3 {
            queue.push(Ready::Callback(number));
        }
        queue.begin_turn();
        assert!(queue.next_of_turn().is_some());
        queue.push(Ready::Callback(3));
        queue.begin_turn();
        assert_eq!(numbers(&mut queue), [1, 2, 3]);
    }
}
