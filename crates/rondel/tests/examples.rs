//! Every example runs without arguments, from a directory not its own, and says what it should.
//! cargo builds the examples together with all tests.
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::path::PathBuf;
use std::process::Command;

/// Beside this test program's own folder.
fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let built = own.parent().and_then(|deps| deps.parent()).unwrap();
    let program = built.join("examples").join(name);
    assert!(program.exists(), "not built; `cargo build -p rondel --examples` does it");
    program
}

/// The lines that an example prints, given `arguments`.
fn run_with(name: &str, arguments: &[&str]) -> Vec<String> {
    let output = Command::new(program(name)).args(arguments).current_dir("/").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{}: {stderr}", output.status);
    assert_eq!(stderr, "");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn run(name: &str) -> Vec<String> {
    run_with(name, &[])
}

/// The line without its numbers, which may differ from run to run.
fn without_numbers(line: &str) -> String {
    line.split(' ')
        .map(|word| if word.parse::<f64>().is_ok() { "*" } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}

/// The first number of a line.
fn number(line: &str) -> f64 {
    line.split([' ', ',']).find_map(|word| word.parse().ok()).unwrap()
}

fn position(lines: &[String], start: &str) -> usize {
    lines.iter().position(|line| line.starts_with(start)).unwrap()
}

#[test]
fn blocking_download_stands_still() {
    let lines = run("blocking_download");
    let expected = [
        "Starting program",
        "Downloading file...",
        "Download complete! 68 bytes",
        "Doing other work, * s late",
        "Program finished",
    ];
    assert_eq!(lines.len(), expected.len());
    assert_eq!(lines[2], expected[2]);
    assert!(
        lines
            .iter()
            .zip(expected)
            .all(|(line, expected)| { without_numbers(line) == without_numbers(expected) })
    );
    assert!(number(&lines[3]) >= 1.0);
}

#[test]
fn threaded_download_does_other_work_meanwhile() {
    let lines = run("threaded_download");
    assert_eq!(lines[0], "Starting program");
    let complete = position(&lines, "Download complete! 68 bytes");
    assert!(position(&lines, "Doing other work while downloading...") < complete);
    assert!(position(&lines, "Downloading file...") < complete);
    assert!(lines.last().unwrap().starts_with("Program finished, with "));
    assert!(number(lines.last().unwrap()) > 1.0);
}

#[test]
fn asyncio_download_does_other_work_on_the_same_thread() {
    let lines = run("asyncio_download");
    assert_eq!(
        lines[..4],
        [
            "Starting program",
            "Doing other work while downloading...",
            "Downloading file...",
            "Download complete! 68 bytes",
        ]
    );
    assert_eq!(without_numbers(&lines[4]), "Program finished, with * pieces of other work done");
    assert!(number(&lines[4]) > 1.0);
}

#[test]
fn read_file_prints_its_contents_or_those_of_the_file_it_is_given() {
    assert_eq!(
        run("read_file"),
        [
            "Reading file asynchronously...",
            "File contents: An event loop waits for many things at once",
            "and runs what is ready.",
        ]
    );
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    assert_eq!(run_with("read_file", &[manifest])[1], "File contents: [package]");
}

#[test]
fn read_many_files_prints_the_contents_in_order() {
    assert_eq!(
        run("read_many_files"),
        [
            "Contents of file1.txt: The first file: a reader asks, and the loop goes on.",
            "Contents of file2.txt: The second file: meanwhile, another reader asks.",
            "Contents of file3.txt: The third file: the answers come in the order of the questions.",
        ]
    );
}

#[test]
fn count_lines_counts_in_other_processes() {
    let lines = run("count_lines");
    assert_eq!(lines.len(), 3);
    let process = |line: &str| line.split(['.', ' ', ';']).find_map(|word| word.parse().ok());
    let this: u32 = process(&lines[0]).unwrap();
    for (line, name) in lines[1..].iter().zip(["large1.txt", "large2.txt"]) {
        let counted = format!("{name} has 262144 lines, counted in process ");
        let worker: u32 = line.strip_prefix(&counted).unwrap().parse().unwrap();
        assert_ne!(worker, this);
    }
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let counted = std::fs::read_to_string(manifest).unwrap().lines().count();
    let lines = run_with("count_lines", &[manifest]);
    assert!(lines[1].starts_with(&format!("Cargo.toml has {counted} lines")));
}

#[test]
fn parallel_downloads_overlap() {
    let lines = run("parallel_downloads");
    assert!(lines[0].starts_with("one after another: 4 downloads in "));
    assert!(lines[0].ends_with(", 1 at once"));
    assert!(lines[1].starts_with("together: 4 downloads in "));
    assert!(!lines[1].ends_with(", 1 at once"));
    assert_eq!(lines[2], "same contents both ways: true");
    assert_eq!(lines[3], "  example.txt: 68 bytes");
    assert_eq!(lines.len(), 7);
}

#[test]
fn blocking_and_async_shows_what_stops_the_loop() {
    let lines = run("blocking_and_async");
    let beats: Vec<_> = lines.iter().skip(1).step_by(2).collect();
    assert_eq!(beats.len(), 4);
    assert_eq!(beats[0], "   0 heartbeats meanwhile: the loop stood still");
    for beat in &beats[1..] {
        assert!(beat.ends_with("the loop went on") && number(beat) > 0.0, "{beat}");
    }
}

#[test]
fn http_hyper_serves_and_asks() {
    assert_eq!(
        run("http_hyper"),
        [
            "100 requests on 10 connections, every answer right: true",
            "uploaded 1048576 bytes, checksum right: true",
            "streamed lines: 1 4 9 16 25",
            "an error is a status: 404 Not Found",
            "server and client closed",
        ]
    );
}

#[test]
fn stream_file_copies_in_constant_memory() {
    let lines = run("stream_file");
    assert!(lines[0].starts_with("streamed large1.txt: 16777216 bytes in "));
    assert_eq!(lines[2], "the copy is the same as the source");
    let words: Vec<_> = lines[1].split(' ').collect();
    let grown = words.iter().skip_while(|word| **word != "by").nth(1).unwrap();
    assert!(grown.parse::<f64>().unwrap() < 8.0, "{}", lines[1]);
}

#[test]
fn mirror_brings_every_file_home_from_a_server_with_faults() {
    let lines = run("mirror");
    let count = |of: &dyn Fn(&str) -> bool| lines.iter().filter(|line| of(line)).count();
    assert_eq!(count(&|line| line.starts_with("retry") && line.ends_with("HTTP status 503")), 5);
    assert_eq!(count(&|line| line.starts_with("retry") && line.ends_with("ended too early")), 5);
    assert_eq!(count(&|line| line.starts_with("fetched") && line.contains("resumed at")), 5);
    assert!(lines.iter().any(|line| line.ends_with("4194304 bytes, resumed at 2097152")));
    assert_eq!(count(&|line| line.ends_with("is the same as the original: true")), 5);
    let at_once = number(lines.last().unwrap());
    assert!((2.0..=3.0).contains(&at_once), "{at_once}");
}

#[test]
fn every_example_is_tested() {
    let own = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/examples.rs"));
    let own = own.unwrap();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/rust");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(own.contains(&format!("run(\"{name}\")")), "{name}");
        }
    }
}
