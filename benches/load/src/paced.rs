//! Messages at a steady rate, whatever the server does, and how long each takes to come back.
//!
//! A message is due at a set time. What a slow server keeps from being sent in time counts as its
//! delay, so that a pause is seen in all the messages that it held up, not in one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::echo::{BUFFER, connect};
use crate::options::Options;
use crate::poller::Poller;
use crate::report::Report;

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    // Sleeps end when they are to, not 50 µs later.
    rustix::thread::set_current_timer_slack(Some(1.try_into()?))?;
    let mut poller = Poller::new()?;
    let mut connections = connect(options, &poller)?;
    let mut buffer = vec![0; BUFFER];
    let mut report = Report::new(options);
    let pause = Duration::from_secs_f64(1.0 / options.rate);
    let mut next = Instant::now();
    let mut turn = 0;
    // When the messages of each connection were due: the first is on its way.
    let mut due: Vec<VecDeque<Instant>> = vec![VecDeque::new(); connections.len()];
    loop {
        let now = Instant::now();
        if report.is_over(now)? {
            report.print(now);
            return Ok(());
        }
        while next <= now {
            due[turn].push_back(next);
            if due[turn].len() == 1 {
                connections[turn].begin(&poller)?;
            }
            turn = (turn + 1) % connections.len();
            next += pause;
        }
        let until_next = next.saturating_duration_since(Instant::now());
        poller.wait(Some(until_next.min(report.patience(now))))?;
        for number in 0..poller.len() {
            let event = poller.event(number);
            let connection = &mut connections[event.key];
            if connection.proceed(event, &poller, &mut buffer)? {
                let waiting = &mut due[event.key];
                if let Some(was_due) = waiting.pop_front() {
                    report.count_from(was_due, Instant::now());
                }
                if !waiting.is_empty() {
                    connection.begin(&poller)?;
                }
            }
        }
    }
}
