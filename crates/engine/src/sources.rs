//! Who waits for which descriptor.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;

use crate::driver::{Driver, Event, Interest};
use crate::notify::Notify;

/// Which of a descriptor's two waiters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Waits until the descriptor is readable.
    Read,
    /// Waits until it is writable.
    Write,
}

#[derive(Debug)]
struct Source<C> {
    /// Part of the token, so that an event fetched for a descriptor's earlier life is not
    /// delivered to its next one.
    generation: u32,
    /// What the kernel was last told; may exceed the waiters until the next event shows it.
    interest: Interest,
    reader: Option<Notify<C>>,
    writer: Option<Notify<C>>,
}

impl<C> Source<C> {
    fn waiter(&mut self, direction: Direction) -> &mut Option<Notify<C>> {
        match direction {
            Direction::Read => &mut self.reader,
            Direction::Write => &mut self.writer,
        }
    }

    fn wanted(&self) -> Interest {
        Interest { readable: self.reader.is_some(), writable: self.writer.is_some() }
    }
}

/// The watched descriptors, by number: the kernel hands out the smallest free number, so a table
/// is as dense as a map and one load away.
#[derive(Debug)]
pub(crate) struct Sources<C> {
    driver: Arc<Driver>,
    table: Vec<Option<Source<C>>>,
    next_generation: u32,
}

impl<C> Sources<C> {
    pub(crate) fn new(driver: Arc<Driver>) -> Self {
        Self { driver, table: Vec::new(), next_generation: 0 }
    }

    /// Has the driver, when it is renewed, watch nothing; the waiters stay.
    pub(crate) fn forget(&mut self) {
        for source in self.table.iter_mut().flatten() {
            source.interest = Interest::default();
        }
    }

    /// Gives a forked child's loop a driver of its own, which watches what the parent's did.
    ///
    /// # Errors
    /// Those of [`Driver::new`].
    pub(crate) fn renew_driver(&self) -> io::Result<()> {
        self.driver.renew()?;
        for (fd, source) in (0..).zip(&self.table) {
            if let Some(Source { generation, interest, .. }) = source
                && !interest.is_empty()
            {
                // What the child has closed already, it cannot watch.
                let token = token(fd, *generation);
                let _ = self.driver.watch(fd, token, Interest::default(), *interest);
            }
        }
        Ok(())
    }

    /// Sets the waiter of one direction and returns the one it replaces.
    pub(crate) fn watch(
        &mut self,
        fd: RawFd,
        direction: Direction,
        waiter: Notify<C>,
    ) -> io::Result<Option<Notify<C>>> {
        if self.driver.is_inherited() {
            self.renew_driver()?;
        }
        let index = usize::try_from(fd).unwrap_or(usize::MAX);
        if let Some(Some(source)) = self.table.get_mut(index) {
            let mut wanted = source.wanted();
            match direction {
                Direction::Read => wanted.readable = true,
                Direction::Write => wanted.writable = true,
            }
            // A Waker that comes back after an event finds the kernel still watching: no call.
            // A callback stays put between events, so this is a new one, perhaps for a new file.
            let settled = source.interest.readable >= wanted.readable
                && source.interest.writable >= wanted.writable;
            if !(settled && matches!(waiter, Notify::Waker(_))) {
                let token = token(fd, source.generation);
                self.driver.watch(fd, token, source.interest, wanted)?;
                source.interest = wanted;
            }
            return Ok(source.waiter(direction).replace(waiter));
        }
        let generation = self.next_generation;
        let mut source =
            Source { generation, interest: Interest::default(), reader: None, writer: None };
        *source.waiter(direction) = Some(waiter);
        source.interest = source.wanted();
        self.driver.watch(fd, token(fd, generation), Interest::default(), source.interest)?;
        self.next_generation = self.next_generation.wrapping_add(1);
        if index >= self.table.len() {
            self.table.resize_with(index + 1, || None);
        }
        self.table[index] = Some(source);
        Ok(None)
    }

    /// Removes the waiter of one direction and returns it.
    pub(crate) fn unwatch(&mut self, fd: RawFd, direction: Direction) -> Option<Notify<C>> {
        let slot = self.table.get_mut(usize::try_from(fd).ok()?)?;
        let source = slot.as_mut()?;
        let waiter = source.waiter(direction).take();
        let wanted = source.wanted();
        // What is forgotten is not watched again because less is wanted of it.
        let left = Interest {
            readable: wanted.readable && source.interest.readable,
            writable: wanted.writable && source.interest.writable,
        };
        if source.interest != left {
            if !self.driver.is_inherited() {
                // An error here can only mean that the kernel no longer knows the descriptor.
                let _ = self.driver.watch(fd, token(fd, source.generation), source.interest, left);
            }
            source.interest = left;
        }
        if wanted.is_empty() {
            *slot = None;
        }
        waiter
    }

    pub(crate) fn waiter(&self, fd: RawFd, direction: Direction) -> Option<&Notify<C>> {
        let source = self.table.get(usize::try_from(fd).ok()?)?.as_ref()?;
        match direction {
            Direction::Read => source.reader.as_ref(),
            Direction::Write => source.writer.as_ref(),
        }
    }

    pub(crate) fn waiters(&self) -> impl Iterator<Item = &Notify<C>> {
        self.table.iter().flatten().flat_map(|source| source.reader.iter().chain(&source.writer))
    }

    /// Every watched descriptor with what is waited for, for those who ask for a listing.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RawFd, Interest)> {
        (0..).zip(&self.table).filter_map(|(fd, source)| Some((fd, source.as_ref()?.wanted())))
    }

    /// Hands an event to its waiters. A callback stays for the next event; a Waker has done its
    /// work, and if it does not come back by the time of the next event the kernel is told.
    pub(crate) fn dispatch(&mut self, event: Event, mut resume: impl FnMut(Notify<C>))
    where
        C: Clone,
    {
        let Ok(fd) = RawFd::try_from(event.token & 0xffff_ffff) else { return };
        let Ok(index) = usize::try_from(fd) else { return };
        let Some(slot) = self.table.get_mut(index) else { return };
        let Some(source) = slot.as_mut() else { return };
        if token(fd, source.generation) != event.token {
            return;
        }
        let wanted = source.wanted();
        let unwanted = (event.ready.readable && source.interest.readable && !wanted.readable)
            || (event.ready.writable && source.interest.writable && !wanted.writable);
        for (ready, waiter) in
            [(event.ready.readable, &mut source.reader), (event.ready.writable, &mut source.writer)]
        {
            match waiter {
                Some(Notify::Callback(callback)) if ready => {
                    resume(Notify::Callback(callback.clone()));
                }
                Some(Notify::Waker(_)) if ready => {
                    if let Some(waker) = waiter.take() {
                        resume(waker);
                    }
                }
                _ => {}
            }
        }
        if unwanted {
            let _ = self.driver.watch(fd, event.token, source.interest, wanted);
            source.interest = wanted;
            if source.wanted().is_empty() && wanted.is_empty() {
                *slot = None;
            }
        }
    }

    /// Takes everything out, for the caller to drop where dropping is safe.
    ///
    /// The kernel is not told, but by closing the driver: a forked child that drops its copy of
    /// the loop shares the epoll instance with its parent, which goes on watching.
    pub(crate) fn take_all(&mut self) -> Vec<Notify<C>> {
        let mut waiters = Vec::new();
        for source in std::mem::take(&mut self.table).into_iter().flatten() {
            waiters.extend(source.reader);
            waiters.extend(source.writer);
        }
        waiters
    }
}

fn token(fd: RawFd, generation: u32) -> u64 {
    // The driver accepts no negative descriptor, so the halves do not overlap, and a generation
    // of all ones with descriptor 2^32-1 (the driver's own token) cannot occur.
    u64::from(generation) << 32 | u64::from(fd.cast_unsigned())
}
