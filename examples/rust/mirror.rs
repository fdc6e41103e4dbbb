//! mirror: download a list of URLs, many at once, and lose nothing when the network fails.
//!
//!     mirror DIRECTORY URL ...
//!
//! It downloads with a limit on how many at once, tries again with growing pauses, notices a
//! silent server, and goes on where a broken download stopped, in the same run or the next one. A
//! file gets its name only when it is whole.
//!
//! What to see without arguments: a rehearsal against a local server that refuses the first
//! request for each file and breaks off the second one halfway. Every file arrives all the same.

mod support;

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use rondel::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use rondel::net::TcpStream;
use rondel::{create_task, gather, sleep, timeout, to_thread};
use support::data::{Folder, SMALL};
use support::file_server::{FileServer, Manners};
use support::http_get::split;

const JOBS: usize = 3;
const RETRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// How long a server may be silent.
const SILENCE: Duration = Duration::from_secs(10);
const BLOCK: usize = 64 * 1024;

/// Why an attempt failed.
#[derive(Debug)]
enum Problem {
    /// It may go away: worth another attempt.
    Transient(String),
    /// It will not.
    Permanent(String),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Transient(error.to_string())
    }
}

impl From<rondel::Elapsed> for Problem {
    fn from(_: rondel::Elapsed) -> Self {
        Self::Transient(format!("silent for {} s", SILENCE.as_secs()))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Transient(reason) | Self::Permanent(reason)) = self;
        f.write_str(reason)
    }
}

/// How far it has come: on a terminal a live line below those about files.
#[derive(Default)]
struct Progress {
    files: Cell<usize>,
    finished: Cell<usize>,
    received: Cell<usize>,
}

impl Progress {
    /// Draws the live line again and again, until cancelled.
    async fn draw(self: Rc<Self>) {
        while io::stderr().is_terminal() {
            erase_line();
            let (finished, files) = (self.finished.get(), self.files.get());
            let bar = "#".repeat(finished * 20 / files.max(1));
            eprint!("[{bar:-<20}] {finished}/{files} files, {} KiB", self.received.get() / 1024);
            let _ = io::stderr().flush();
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// One line about one file, above the live one.
fn say(word: &str, name: &str, note: &str) {
    erase_line();
    println!("{word:<8} {name:<12} {note}");
}

fn erase_line() {
    if io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}

/// Downloads all `urls` into `folder`; returns how many failed.
async fn mirror(urls: Vec<String>, folder: &Path) -> io::Result<usize> {
    fs::create_dir_all(folder)?;
    let progress = Rc::new(Progress::default());
    progress.files.set(urls.len());
    let drawing = create_task(Rc::clone(&progress).draw());

    let failed = Cell::new(0);
    let waiting = RefCell::new(urls.into_iter()); // shared: each worker takes the next one
    let next = || waiting.borrow_mut().next();
    gather((0..JOBS).map(async |_| {
        while let Some(url) = next() {
            let name = url.rsplit('/').next().unwrap_or_default().to_owned();
            match with_retries(&url, &name, folder, &progress).await {
                Ok(note) => say("fetched", &name, &note),
                Err(problem) => {
                    failed.update(|count| count + 1);
                    say("failed", &name, &problem.to_string());
                }
            }
            progress.finished.update(|count| count + 1);
        }
    }))
    .await;

    drawing.cancel();
    erase_line();
    Ok(failed.get())
}

/// Downloads one file, as often as it takes or is allowed; tells how it went.
async fn with_retries(
    url: &str,
    name: &str,
    folder: &Path,
    progress: &Progress,
) -> Result<String, Problem> {
    let mut pause = FIRST_PAUSE;
    for _ in 0..RETRIES {
        match download(url, name, folder, progress).await {
            Err(Problem::Transient(reason)) => {
                say("retry", name, &format!("in {:.1} s: {reason}", pause.as_secs_f64()));
                sleep(pause).await;
                pause *= 2;
            }
            done => return done,
        }
    }
    download(url, name, folder, progress).await
}

/// One attempt: what has come before stays in `NAME.part`, and the attempt goes on from there.
async fn download(
    url: &str,
    name: &str,
    folder: &Path,
    progress: &Progress,
) -> Result<String, Problem> {
    let (host, path) = split(url).map_err(|error| Problem::Permanent(error.to_string()))?;
    let (target, unfinished) = (folder.join(name), folder.join(format!("{name}.part")));
    let there = fs::metadata(&unfinished).map_or(0, |metadata| metadata.len());

    let mut connection = timeout(SILENCE, TcpStream::connect(host)).await??;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nRange: bytes={there}-\r\nConnection: close\r\n\r\n"
    );
    timeout(SILENCE, connection.write_all(request.as_bytes())).await??;
    let mut answer = BufReader::with_capacity(BLOCK, connection);
    let (status, length) = timeout(SILENCE, read_head(&mut answer)).await??;
    let mut size = match status {
        206 => there,
        200 => 0,
        500.. => return Err(Problem::Transient(format!("HTTP status {status}"))),
        _ => return Err(Problem::Permanent(format!("HTTP status {status}"))),
    };

    let mut file = open(&unfinished, size > 0)?;
    let mut left = length;
    while left > 0 {
        let mut block = vec![0; BLOCK.min(left)];
        let len = timeout(SILENCE, answer.read(&mut block)).await??;
        if len == 0 {
            return Err(Problem::Transient("the connection ended too early".to_owned()));
        }
        block.truncate(len);
        let stored;
        (stored, file) = to_thread(move || (file.write_all(&block), file)).await;
        stored?;
        left -= len;
        size += len as u64;
        progress.received.update(|received| received + len);
    }
    to_thread(move || fs::rename(unfinished, target)).await?;
    Ok(match status {
        206 if there > 0 => format!("{size} bytes, resumed at {there}"),
        _ => format!("{size} bytes"),
    })
}

fn open(path: &Path, append: bool) -> io::Result<File> {
    OpenOptions::new().create(true).write(true).append(append).truncate(!append).open(path)
}

/// The status code, and how many bytes follow.
async fn read_head(answer: &mut BufReader<TcpStream>) -> io::Result<(u16, usize)> {
    let (mut status, mut length) = (None, None);
    let mut line = String::new();
    while answer.read_line(&mut line).await? > 2 {
        if status.is_none() {
            status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("Content-Length")
        {
            length = value.trim().parse().ok();
        }
        line.clear();
    }
    status.zip(length).ok_or_else(|| io::Error::other("the server does not speak HTTP"))
}

/// Mirrors the example's own data from a local server with faults.
fn rehearse() -> Result<usize, Box<dyn Error>> {
    let data = Folder::with_data()?;
    data.make_large("large1.txt", 4)?;
    let manners = Manners { delay: Duration::from_millis(100), fail_first: true, cut_first: true };
    let server = FileServer::start(data.path(), manners)?;
    let copies = Folder::empty("mirror")?;

    let mut names = SMALL.to_vec();
    names.push("large1.txt");
    println!("Rehearsal: mirroring {} files from a server with faults", names.len());
    let urls = names.iter().map(|name| format!("{}/{name}", server.url)).collect();
    let failed = rondel::run(mirror(urls, copies.path()))?;
    for name in &names {
        let same = fs::read(data.path().join(name))? == fs::read(copies.path().join(name))?;
        println!("{name} is the same as the original: {same}");
    }
    println!("at most {} downloads at once", server.most_at_once());
    Ok(failed)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut given = std::env::args_os().skip(1);
    let failed = match given.next().map(PathBuf::from) {
        None => rehearse()?,
        Some(folder) => {
            let urls = given.map(|url| url.to_string_lossy().into_owned()).collect();
            rondel::run(mirror(urls, &folder))?
        }
    };
    if failed > 0 {
        return Err(format!("{failed} files could not be had").into());
    }
    Ok(())
}
