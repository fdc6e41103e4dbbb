//! Unix signals, sent to this process.
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rondel::signal::{SIGHUP, SIGINT, SIGUSR1, SIGUSR2, Signals, ctrl_c};
use rondel::{create_task, run, sleep, timeout, yield_now};
use rustix::process::{Signal, getpid, kill_process};

/// Set in processes that a test starts: the part that they play.
const PART: &str = "RONDEL_TEST_PART";

fn is(part: &str) -> bool {
    std::env::var(PART).is_ok_and(|played| played == part)
}

/// This test program again, to run one test in a part of its own.
fn play(test: &str, part: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(PART, part)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_signal_wakes_whoever_waits_for_it() -> io::Result<()> {
    run(async {
        let mut signals = Signals::new(&[SIGUSR1, SIGHUP])?;
        let waiting = create_task(async move {
            let first = signals.recv().await?;
            kill_process(getpid(), Signal::HUP)?;
            io::Result::Ok((first, signals.recv().await?))
        });
        yield_now().await;
        assert!(!waiting.done());
        kill_process(getpid(), Signal::USR1)?;
        assert_eq!(waiting.await??, (SIGUSR1, SIGHUP));
        Ok(())
    })
}

#[test]
fn a_signal_that_came_before_anybody_waited_is_there() -> io::Result<()> {
    run(async {
        let mut signals = Signals::new(&[SIGUSR2])?;
        kill_process(getpid(), Signal::USR2)?;
        assert_eq!(signals.recv().await?, SIGUSR2);
        assert!(timeout(Duration::from_millis(5), signals.recv()).await.is_err());
        Ok(())
    })
}

#[test]
fn a_signal_that_cannot_be_caught_is_an_error() {
    let error = Signals::new(&[Signal::KILL.as_raw()]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(Signals::new(&[-1]).is_err());
}

#[test]
fn ctrl_c_ends_the_program_again_once_nobody_listens() {
    const TEST: &str = "ctrl_c_ends_the_program_again_once_nobody_listens";
    if is("listener") {
        run(async {
            let waiting = create_task(ctrl_c());
            yield_now().await;
            kill_process(getpid(), Signal::INT)?;
            waiting.await??;
            // Two listen, one leaves: the other still hears.
            let (first, mut second) = (Signals::new(&[SIGINT])?, Signals::new(&[SIGINT])?);
            drop(first);
            kill_process(getpid(), Signal::INT)?;
            assert_eq!(second.recv().await?, SIGINT);
            drop(second);
            kill_process(getpid(), Signal::INT)?;
            // Another thread may be the one that is hit, in a moment.
            sleep(Duration::from_secs(20)).await;
            io::Result::Ok(())
        })
        .unwrap();
        std::process::exit(42); // not reached
    }
    let mut child = play(TEST, "listener");
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(SIGINT), "{status}");
}

#[test]
fn ctrl_c_ends_a_program_that_never_asked_for_it() {
    const TEST: &str = "ctrl_c_ends_a_program_that_never_asked_for_it";
    if is("sleeper") {
        run(async {
            kill_process(getpid(), Signal::INT).unwrap();
            std::future::pending::<()>().await;
        });
    }
    let mut child = play(TEST, "sleeper");
    assert_eq!(child.wait().unwrap().signal(), Some(SIGINT));
}
