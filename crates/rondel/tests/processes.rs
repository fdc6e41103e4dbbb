//! Calls in other processes: results, errors, deaths, cancellation, and what is left afterwards.
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

mod support;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::rc::Rc;
use std::time::Duration;

use rondel::{
    ProcessError, ProcessPoolExecutor, Runner, Worker, create_task, gather, run, sleep, timeout,
};
use support::calls::{
    Folder, LONG, Shape, Unwritable, checked, describe, end_by, exists, kill, mark, marked, nested,
    open_descriptors, own_id, rest, reverse, square, unwritable, what_stdin_has,
};

fn main() -> ExitCode {
    Worker::new()
        .register(square)
        .register(own_id)
        .register(describe)
        .register(checked)
        .register(end_by)
        .register(rest)
        .register(mark)
        .register(reverse)
        .register(unwritable)
        .register(nested)
        .register(what_stdin_has)
        .serve();
    if let Some(folder) = std::env::args().nth(1).filter(|argument| argument.starts_with('/')) {
        wait_with_worker(Path::new(&folder));
    }
    support::run(tests![
        results_come_from_other_processes,
        no_more_processes_than_workers_and_idle_ones_are_used_again,
        structures_go_there_and_back,
        large_arguments_and_results_go_through,
        map_gives_results_in_order,
        map_fails_with_the_first_error_and_cancels_the_rest,
        ten_thousand_calls_at_once_all_return,
        a_panic_fails_its_call_and_the_worker_lives_on,
        a_worker_that_dies_fails_its_call_alone_and_says_how,
        workers_killed_at_random_lose_no_call_but_their_own,
        a_worker_that_died_idle_costs_no_call,
        a_queued_call_is_cancelled_at_once_and_never_made,
        a_call_that_is_being_made_goes_on_unless_it_is_killed,
        cancelling_kills_where_that_was_chosen,
        shutdown_makes_what_is_queued_or_cancels_it_and_takes_no_more,
        shutdown_leaves_no_process_and_no_descriptor,
        the_end_of_run_ends_calls_and_kills_workers,
        a_dropped_executor_finishes_what_it_has_and_leaves_nothing,
        processes_are_replaced_after_so_many_calls,
        what_is_not_registered_or_cannot_be_written_is_an_error,
        a_worker_can_have_workers,
        standard_input_of_a_worker_is_empty,
        an_executor_serves_one_loop_at_a_time,
        workers_end_when_their_program_is_killed,
    ])
}

fn not_registered(number: u64) -> u64 {
    number
}

fn pool_of(workers: usize) -> ProcessPoolExecutor {
    ProcessPoolExecutor::builder().max_workers(workers).build()
}

fn results_come_from_other_processes() {
    run(async {
        let pool = ProcessPoolExecutor::new();
        assert_eq!(pool.submit(square, 12).await.unwrap(), 144);
        let worker = pool.submit(own_id, ()).await.unwrap();
        assert_ne!(worker, std::process::id());
    });
}

fn no_more_processes_than_workers_and_idle_ones_are_used_again() {
    run(async {
        let pool = pool_of(3);
        let ids = gather((0..300).map(|_| pool.submit(own_id, ()))).await;
        let ids: BTreeSet<_> = ids.into_iter().map(Result::unwrap).collect();
        assert!(ids.len() <= 3, "{ids:?}");
        let pool = pool_of(8);
        let first = pool.submit(own_id, ()).await.unwrap();
        for _ in 0..10 {
            assert_eq!(pool.submit(own_id, ()).await.unwrap(), first);
        }
    });
}

fn structures_go_there_and_back() {
    run(async {
        let pool = pool_of(1);
        for shape in [
            None,
            Some(Shape::Circle { radius: 0.1 }),
            Some(Shape::Polygon(vec![(1, -2), (i32::MIN, i32::MAX)])),
        ] {
            let sent = ("shape ✓".to_owned(), shape);
            let back = pool.submit(describe, sent.clone()).await.unwrap();
            assert_eq!(back, Ok(sent));
        }
        let refused = pool.submit(describe, (String::new(), None)).await.unwrap();
        assert_eq!(refused.unwrap_err(), "no name");
    });
}

fn large_arguments_and_results_go_through() {
    run(async {
        let pool = pool_of(2);
        let bytes: Vec<u8> = (0..8_u32 << 20).map(|number| number.to_le_bytes()[1]).collect();
        let calls = (0..3).map(|_| pool.submit(reverse, bytes.clone()));
        for reversed in gather(calls).await {
            assert!(reversed.unwrap().iter().eq(bytes.iter().rev()));
        }
        assert_eq!(pool.submit(reverse, Vec::new()).await.unwrap(), []);
    });
}

fn map_gives_results_in_order() {
    run(async {
        let squares = pool_of(2).map(square, 0..500).await.unwrap();
        assert!(squares.into_iter().eq((0..500).map(|number| number * number)));
        assert_eq!(pool_of(2).map(square, []).await.unwrap(), []);
    });
}

fn map_fails_with_the_first_error_and_cancels_the_rest() {
    run(async {
        let folder = Folder::new("map");
        let pool = pool_of(1);
        let error = pool.map(checked, [1, 13, 3]).await.unwrap_err();
        assert!(error.is_panic());

        let paths: Vec<_> = (0..200).map(|number| folder.file(&number.to_string())).collect();
        let first = pool.submit(end_by, "kill".to_owned());
        let rest = pool.map(mark, paths.iter().map(|path| (path.clone(), 0)));
        assert!(first.await.unwrap_err().is_worker_death());
        marked(&paths[0]).await;
        drop(rest);
        pool.shutdown(false).await;
        assert!(fs::read_dir(&folder.0).unwrap().count() < 200);
    });
}

fn ten_thousand_calls_at_once_all_return() {
    run(async {
        let pool = pool_of(2);
        let squares = gather((0..10_000).map(|number| pool.submit(square, number))).await;
        let squares = squares.into_iter().map(Result::unwrap);
        assert!(squares.eq((0..10_000).map(|number| number * number)));
    });
}

fn a_panic_fails_its_call_and_the_worker_lives_on() {
    run(async {
        let pool = pool_of(1);
        let before = pool.submit(own_id, ()).await.unwrap();
        let error = pool.submit(checked, 13).await.unwrap_err();
        assert!(
            matches!(&error, ProcessError::Panicked(message) if message.contains("unlucky 13"))
        );
        assert!(error.to_string().starts_with("panicked: "), "{error}");
        assert_eq!(pool.submit(own_id, ()).await.unwrap(), before);
    });
}

fn a_worker_that_dies_fails_its_call_alone_and_says_how() {
    run(async {
        let pool = pool_of(2);
        for (way, said) in [
            ("exit", "exit status: 3"),
            ("abort", "signal: 6 (SIGABRT)"),
            ("kill", "signal: 9 (SIGKILL)"),
            ("term", "signal: 15 (SIGTERM)"),
        ] {
            let others: Vec<_> = (0..20).map(|number| pool.submit(square, number)).collect();
            let dying = pool.submit(end_by, way.to_owned());
            let later: Vec<_> = (0..20).map(|number| pool.submit(square, number)).collect();
            let error = dying.await.unwrap_err();
            assert!(error.is_worker_death());
            assert!(error.to_string().contains(said), "{error}");
            for (number, other) in (0..20).cycle().zip(others.into_iter().chain(later)) {
                assert_eq!(other.await.unwrap(), number * number);
            }
        }
    });
}

fn workers_killed_at_random_lose_no_call_but_their_own() {
    const ROUNDS: usize = 150;
    run(async {
        let pool = Rc::new(pool_of(2));
        let (killed, stop) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let callers: Vec<_> = (0..8_u64)
            .map(|first| {
                let (pool, stop) = (Rc::clone(&pool), Rc::clone(&stop));
                create_task(async move {
                    let (mut made, mut lost) = (0, 0);
                    for number in (first..).step_by(8) {
                        match pool.submit(square, number).await {
                            Ok(squared) => assert_eq!(squared, number * number),
                            Err(error) if error.is_worker_death() => {
                                assert!(error.to_string().contains("SIGKILL"), "{error}");
                                lost += 1;
                            }
                            Err(error) => panic!("{error}"),
                        }
                        made += 1;
                        if stop.get() {
                            break;
                        }
                    }
                    (made, lost)
                })
            })
            .collect();
        while killed.get() < ROUNDS {
            // A call itself may be lost to the worker that was killed just before.
            if let Ok(id) = pool.submit(own_id, ()).await {
                kill(id);
                killed.set(killed.get() + 1);
            }
        }
        stop.set(true);
        let (mut made, mut lost) = (0, 0);
        for caller in gather(callers).await {
            let (its_made, its_lost) = caller.unwrap();
            made += its_made;
            lost += its_lost;
        }
        assert!(made >= 8 && lost <= ROUNDS, "{lost} of {made} lost");
        pool.shutdown(false).await;
    });
}

fn a_worker_that_died_idle_costs_no_call() {
    run(async {
        let pool = pool_of(1);
        let mut last = 0;
        for _ in 0..50 {
            let id = pool.submit(own_id, ()).await.unwrap();
            assert_ne!(id, last);
            // Dead before it gets the next call, but nobody has had the time to notice.
            kill(id);
            last = id;
        }
    });
}

fn a_queued_call_is_cancelled_at_once_and_never_made() {
    run(async {
        let folder = Folder::new("queued");
        let pool = pool_of(1);
        let first = pool.submit(mark, (folder.file("first"), LONG));
        let second = pool.submit(mark, (folder.file("second"), 0));
        marked(&folder.file("first")).await;
        assert!(first.running() && !second.running() && !second.done());
        assert!(second.cancel());
        assert!(second.cancel(), "it still is");
        assert!(second.done());
        assert!(matches!(second.await, Err(ProcessError::Cancelled)));

        let timed_out =
            timeout(Duration::from_millis(5), pool.submit(mark, (folder.file("third"), 0)));
        assert!(timed_out.await.is_err());
        assert!(first.kill());
        pool.shutdown(false).await;
        assert!(!folder.file("second").exists() && !folder.file("third").exists());
    });
}

fn a_call_that_is_being_made_goes_on_unless_it_is_killed() {
    run(async {
        let folder = Folder::new("running");
        let pool = pool_of(1);
        let call = pool.submit(mark, (folder.file("call"), LONG));
        let id = marked(&folder.file("call")).await;
        assert!(!call.cancel());
        assert!(call.running());
        let next = pool.submit(own_id, ());
        assert!(call.kill());
        assert!(call.done() && call.kill());
        assert!(call.await.unwrap_err().is_cancelled());
        assert_ne!(next.await.unwrap(), id);
        assert!(!exists(id));

        let returned = pool.submit(square, 2);
        while !returned.done() {
            sleep(Duration::from_millis(1)).await;
        }
        assert!(!returned.kill() && !returned.cancel());
        assert_eq!(returned.await.unwrap(), 4);
    });
}

fn cancelling_kills_where_that_was_chosen() {
    run(async {
        let folder = Folder::new("chosen");
        let pool = ProcessPoolExecutor::builder().max_workers(1).kill_on_cancel(true).build();
        let path = folder.file("task");
        let task = create_task(pool.submit(mark, (path.clone(), LONG)));
        let id = marked(&path).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(pool.submit(square, 3).await.unwrap(), 9);
        assert!(!exists(id));

        let slow = timeout(Duration::from_millis(20), pool.submit(rest, LONG * 1000));
        assert!(slow.await.is_err());
        assert_eq!(pool.submit(square, 4).await.unwrap(), 16);

        let path = folder.file("map");
        let map = create_task(pool.map(mark, [(path.clone(), LONG)]));
        let id = marked(&path).await;
        map.cancel();
        assert_eq!(pool.submit(square, 5).await.unwrap(), 25);
        assert!(!exists(id));
    });
}

fn shutdown_makes_what_is_queued_or_cancels_it_and_takes_no_more() {
    run(async {
        let pool = pool_of(1);
        let calls: Vec<_> = (0..10).map(|number| pool.submit(square, number)).collect();
        pool.shutdown(false).await;
        for (number, call) in (0..).zip(calls) {
            assert!(call.done());
            assert_eq!(call.await.unwrap(), number * number);
        }
        assert!(pool.submit(square, 1).await.unwrap_err().is_cancelled());
        pool.shutdown(true).await;

        let folder = Folder::new("shutdown");
        for kills in [false, true] {
            let pool = ProcessPoolExecutor::builder().max_workers(1).kill_on_cancel(kills).build();
            let path = folder.file(&kills.to_string());
            let first = pool.submit(mark, (path.clone(), if kills { LONG } else { 1 }));
            let second = pool.submit(square, 2);
            marked(&path).await;
            pool.shutdown(true).await;
            assert_eq!(first.await.is_err(), kills);
            assert!(second.await.is_err_and(|error| error.is_cancelled()));
        }
    });
}

fn shutdown_leaves_no_process_and_no_descriptor() {
    run(async {
        let before = open_descriptors();
        for calls in [0, 1, 50] {
            let pool = pool_of(3);
            let ids = gather((0..calls).map(|_| pool.submit(own_id, ()))).await;
            pool.shutdown(false).await;
            assert!(ids.into_iter().all(|id| !exists(id.unwrap())));
            assert_eq!(open_descriptors(), before);
        }
        // While they start.
        let pool = pool_of(3);
        let calls: Vec<_> = (0..5).map(|number| pool.submit(square, number)).collect();
        pool.shutdown(true).await;
        assert!(gather(calls).await.into_iter().all(|call| call.is_err()));
        assert_eq!(open_descriptors(), before);
    });
}

fn the_end_of_run_ends_calls_and_kills_workers() {
    let folder = Folder::new("run");
    let before = open_descriptors();
    let (id, pool, calls) = run(async {
        let pool = pool_of(1);
        let path = folder.file("call");
        let calls = [pool.submit(mark, (path.clone(), LONG)), pool.submit(mark, (path.clone(), 0))];
        (marked(&path).await, pool, calls)
    });
    assert!(!exists(id));
    assert_eq!(open_descriptors(), before);
    run(async {
        for call in calls {
            assert!(call.await.unwrap_err().is_cancelled());
        }
        // It serves the next loop as it did the first.
        assert_eq!(pool.submit(square, 6).await.unwrap(), 36);
    });
}

fn a_dropped_executor_finishes_what_it_has_and_leaves_nothing() {
    run(async {
        let before = open_descriptors();
        let (id, calls) = {
            let pool = pool_of(1);
            let calls: Vec<_> = (0..5).map(|number| pool.submit(square, number)).collect();
            (pool.submit(own_id, ()), calls)
        };
        let results = gather(calls).await.into_iter().map(Result::unwrap);
        assert!(results.eq((0..5).map(|number| number * number)));
        let id = id.await.unwrap();
        timeout(Duration::from_secs(20), async {
            while exists(id) || open_descriptors() != before {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .unwrap();
    });
}

fn processes_are_replaced_after_so_many_calls() {
    run(async {
        let pool = ProcessPoolExecutor::builder().max_workers(1).max_tasks_per_child(2).build();
        let ids = gather((0..6).map(|_| pool.submit(own_id, ()))).await;
        let ids: Vec<_> = ids.into_iter().map(Result::unwrap).collect();
        assert!(ids.chunks(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 3);
    });
}

fn what_is_not_registered_or_cannot_be_written_is_an_error() {
    run(async {
        let pool = pool_of(1);
        let error = pool.submit(not_registered, 1).await.unwrap_err();
        assert!(error.to_string().contains("processes::not_registered is not registered"));
        for argument in [Some(Unwritable), None] {
            let error = pool.submit(unwritable, argument).await.map(drop).unwrap_err();
            assert!(matches!(error, ProcessError::NotSent(_)), "{error}");
        }
        assert_eq!(pool.submit(square, 7).await.unwrap(), 49);
    });
}

fn a_worker_can_have_workers() {
    run(async {
        assert_eq!(pool_of(1).submit(nested, 8).await.unwrap(), Ok(64));
    });
}

fn standard_input_of_a_worker_is_empty() {
    run(async {
        let pool = pool_of(1);
        assert_eq!(pool.submit(what_stdin_has, ()).await.unwrap(), 0);
        assert_eq!(pool.submit(square, 9).await.unwrap(), 81);
    });
}

fn an_executor_serves_one_loop_at_a_time() {
    let pool = pool_of(1);
    let mut first = Runner::new().unwrap();
    assert_eq!(first.run(async { pool.submit(square, 2).await.unwrap() }), 4);
    let elsewhere = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        run(async { drop(pool.submit(square, 3)) });
    }));
    let message = *elsewhere.unwrap_err().downcast::<&str>().unwrap();
    assert_eq!(message, "this ProcessPoolExecutor is bound to a different event loop");
    drop(first);
    assert_eq!(run(async { pool.submit(square, 5).await.unwrap() }), 25);
}

/// The program of the next test: has a call made that takes an hour, and waits for it.
fn wait_with_worker(folder: &Path) {
    let path = folder.join("call");
    run(async {
        let pool = pool_of(2);
        let idle = pool.submit(own_id, ());
        let call = pool.submit(mark, (path.clone(), LONG));
        println!("{} {}", idle.await.unwrap(), marked(&path).await);
        call.await.unwrap();
    });
}

fn workers_end_when_their_program_is_killed() {
    let folder = Folder::new("orphans");
    let mut program = Command::new("/proc/self/exe")
        .arg0("a program")
        .arg(&folder.0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(program.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let ids: Vec<u32> = line.split_whitespace().map(|id| id.parse().unwrap()).collect();
    assert!(ids.len() == 2 && ids.iter().all(|id| exists(*id)));
    program.kill().unwrap();
    program.wait().unwrap();
    // Its workers have its standard output, too: the end of it is the end of all.
    assert_eq!(output.read_to_end(&mut Vec::new()).unwrap(), 0);
}
