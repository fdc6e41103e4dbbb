//! What worker processes are asked to do, and what a test sees of them from outside.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rondel::{ProcessPoolExecutor, run, sleep};
use rustix::process::{Pid, Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};

/// More seconds than a test has.
pub(crate) const LONG: u64 = 3600;

pub(crate) fn square(number: u64) -> u64 {
    number * number
}

pub(crate) fn own_id((): ()) -> u32 {
    std::process::id()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Shape {
    Circle { radius: f64 },
    Polygon(Vec<(i32, i32)>),
}

pub(crate) fn describe(
    (name, shape): (String, Option<Shape>),
) -> Result<(String, Option<Shape>), String> {
    if name.is_empty() { Err("no name".to_owned()) } else { Ok((name, shape)) }
}

pub(crate) fn checked(number: u64) -> u64 {
    assert_ne!(number, 13, "unlucky {number}");
    number
}

/// Ends the process it runs in, in one way or another.
#[expect(clippy::needless_pass_by_value, reason = "what travels is owned")]
pub(crate) fn end_by(way: String) {
    match way.as_str() {
        "exit" => std::process::exit(3),
        "abort" => std::process::abort(),
        "kill" => kill_process(getpid(), Signal::KILL).unwrap(),
        "term" => kill_process(getpid(), Signal::TERM).unwrap(),
        _ => unreachable!("{way}"),
    }
    rest(LONG);
}

/// Takes so many milliseconds.
pub(crate) fn rest(milliseconds: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(milliseconds));
    milliseconds
}

/// Writes its process's number into a file, and takes so many seconds.
pub(crate) fn mark((path, seconds): (PathBuf, u64)) {
    let unfinished = path.with_extension("unfinished");
    fs::write(&unfinished, std::process::id().to_string()).unwrap();
    fs::rename(unfinished, path).unwrap();
    std::thread::sleep(Duration::from_secs(seconds));
}

pub(crate) fn reverse(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.reverse();
    bytes
}

/// A value that serde gives up on.
#[derive(Clone, Copy, Deserialize)]
pub(crate) struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not to be written"))
    }
}

pub(crate) fn unwritable(_: Option<Unwritable>) -> Unwritable {
    Unwritable
}

pub(crate) fn nested(number: u64) -> Result<u64, String> {
    run(async {
        let squared = ProcessPoolExecutor::new().submit(square, number).await;
        squared.map_err(|error| error.to_string())
    })
}

pub(crate) fn what_stdin_has((): ()) -> usize {
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap()
}

pub(crate) fn kill(id: u32) {
    kill_process(Pid::from_raw(id.cast_signed()).unwrap(), Signal::KILL).unwrap();
}

pub(crate) fn exists(id: u32) -> bool {
    Path::new(&format!("/proc/{id}")).exists()
}

pub(crate) fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A folder of the test's own.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rondel-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Waits until `mark` has run, and returns the number of its process.
pub(crate) async fn marked(path: &Path) -> u32 {
    loop {
        if let Ok(id) = fs::read_to_string(path) {
            return id.parse().unwrap();
        }
        sleep(Duration::from_millis(1)).await;
    }
}
