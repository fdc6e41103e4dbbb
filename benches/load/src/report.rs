//! What is counted, within the time in which it counts.

use std::time::{Duration, Instant};

use crate::Failure;
use crate::options::Options;

/// A server that does not answer for so long is taken to hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Counts what is done between the end of the warm-up and the end of the run.
#[derive(Debug)]
pub(crate) struct Report {
    begin: Instant,
    end: Instant,
    last: Instant,
    /// Units done while it counted: replies, requests, connections.
    done: u64,
    /// Nanoseconds, where they are wanted.
    latencies: Vec<u64>,
    server: Option<u32>,
    /// The CPU time that the server had used up when counting began.
    used: Option<Duration>,
}

impl Report {
    /// A report on a run that begins now.
    pub(crate) fn new(options: &Options) -> Self {
        let now = Instant::now();
        let begin = now + options.warm_up;
        Self {
            begin,
            end: begin + options.duration,
            last: now,
            done: 0,
            latencies: Vec::new(),
            server: options.server,
            used: None,
        }
    }

    /// Counts a unit that was done at `now`.
    pub(crate) fn count(&mut self, now: Instant) {
        if now >= self.begin {
            if self.done == 0 {
                self.used = self.server.and_then(cpu_time);
            }
            self.done += 1;
        }
        self.last = now;
    }

    /// Counts a unit that was due at some time and done at `now`.
    pub(crate) fn count_from(&mut self, due: Instant, now: Instant) {
        self.count(now);
        if now >= self.begin {
            let nanoseconds = now.saturating_duration_since(due).as_nanos();
            self.latencies.push(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        }
    }

    /// Whether the run is over. Fails if the server has not answered for long.
    pub(crate) fn is_over(&self, now: Instant) -> Result<bool, Failure> {
        if now.saturating_duration_since(self.last) > PATIENCE {
            return Err(format!("no answer for {} s", PATIENCE.as_secs()).into());
        }
        // A server that has not answered at all is given some more time, to tell slow from hanging.
        Ok(now >= self.end && self.done > 0)
    }

    /// How long to wait for an event at most.
    pub(crate) fn patience(&self, now: Instant) -> Duration {
        self.end.saturating_duration_since(now).clamp(Duration::from_millis(1), PATIENCE)
    }

    /// Prints what was counted, as JSON: how many units, in how many seconds, and what CPU time of
    /// the server one took.
    pub(crate) fn print(mut self, now: Instant) {
        let seconds = now.duration_since(self.begin).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "2^53 units are years")]
        let done = self.done as f64;
        print!("{{\"done\": {done}, \"seconds\": {seconds}, \"rate\": {}", done / seconds);
        if let (Some(before), Some(after)) = (self.used, self.server.and_then(cpu_time)) {
            print!(", \"cpu\": {}", after.saturating_sub(before).as_secs_f64() / done);
        }
        self.latencies.sort_unstable();
        for (name, permille) in [("p50", 500), ("p99", 990), ("p99.9", 999)] {
            if let Some(nanoseconds) = percentile(&self.latencies, permille) {
                print!(", \"{name}\": {nanoseconds}e-9");
            }
        }
        println!("}}");
    }
}

/// The CPU time that all threads of a process have used, where the kernel tells.
fn cpu_time(process: u32) -> Option<Duration> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).ok()?;
    let mut nanoseconds = 0;
    for thread in threads {
        let times = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        nanoseconds += times.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(nanoseconds))
}

/// The smallest of the sorted numbers that so many thousandths of them do not exceed.
fn percentile(sorted: &[u64], permille: usize) -> Option<u64> {
    let rank = (sorted.len() * permille).div_ceil(1000);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_used_by_working() {
        let this = std::process::id();
        let before = cpu_time(this).unwrap();
        while cpu_time(this).unwrap() == before {}
        assert!(cpu_time(this).unwrap() > before);
        assert_eq!(cpu_time(u32::MAX), None);
    }

    #[test]
    fn a_percentile_is_one_of_the_numbers() {
        let sorted: Vec<u64> = (1..=1000).collect();
        assert_eq!(percentile(&sorted, 500), Some(500));
        assert_eq!(percentile(&sorted, 990), Some(990));
        assert_eq!(percentile(&sorted, 999), Some(999));
        assert_eq!(percentile(&[7], 999), Some(7));
        assert_eq!(percentile(&[], 500), None);
    }
}
