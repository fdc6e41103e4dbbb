//! A small HTTP server of files, on a loop in a thread of its own: what the examples download from.
//!
//! It can be slow, and it can fail as real servers do, once for each file: refuse, or cut the
//! connection in the middle of the body. It knows ranges, so that a download can go on.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rondel::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, StreamExt};
use rondel::net::{TcpListener, TcpStream};
use rondel::{create_task, run, sleep, to_thread};

/// How the server behaves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manners {
    /// How long each answer takes.
    pub(crate) delay: Duration,
    /// Whether the first request for each file is refused.
    pub(crate) fail_first: bool,
    /// Whether the connection is cut halfway through the first body of each file.
    pub(crate) cut_first: bool,
}

/// A server that runs as long as the program.
pub(crate) struct FileServer {
    /// What its addresses begin with: `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    most_at_once: Arc<AtomicUsize>,
}

impl FileServer {
    /// Serves the files in `folder`.
    pub(crate) fn start(folder: &Path, manners: Manners) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let most_at_once = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&most_at_once);
        let folder = folder.to_owned();
        thread::spawn(move || run(serve(listener, Site::new(folder, manners, counter))));
        Ok(Self { url, most_at_once })
    }

    /// The most requests that were open at once since this was last asked.
    pub(crate) fn most_at_once(&self) -> usize {
        self.most_at_once.swap(0, Ordering::Relaxed)
    }
}

/// What all connections see.
struct Site {
    folder: PathBuf,
    manners: Manners,
    open: Cell<usize>,
    most_at_once: Arc<AtomicUsize>,
    /// How often each path was asked for.
    asked: RefCell<HashMap<String, usize>>,
}

impl Site {
    fn new(folder: PathBuf, manners: Manners, most_at_once: Arc<AtomicUsize>) -> Self {
        Self { folder, manners, open: Cell::default(), most_at_once, asked: RefCell::default() }
    }

    fn count(&self, path: &str) -> usize {
        let mut asked = self.asked.borrow_mut();
        let count = asked.entry(path.to_owned()).or_default();
        *count += 1;
        *count
    }
}

async fn serve(listener: std::net::TcpListener, site: Site) -> io::Result<()> {
    let (listener, site) = (TcpListener::from_std(listener)?, Rc::new(site));
    let mut incoming = listener.incoming();
    while let Some(connection) = incoming.next().await {
        let connection = connection?;
        let site = Rc::clone(&site);
        create_task(async move {
            site.open.update(|open| open + 1);
            site.most_at_once.fetch_max(site.open.get(), Ordering::Relaxed);
            // A client that leaves early is its own affair.
            let _ = answer(&connection, &site).await;
            site.open.update(|open| open - 1);
        });
    }
    Ok(())
}

/// Reads one request and answers it.
async fn answer(mut connection: &TcpStream, site: &Site) -> io::Result<()> {
    let mut head = BufReader::new(connection).lines();
    let request = head.next().await.ok_or(io::ErrorKind::UnexpectedEof)??;
    let mut first = 0;
    while let Some(line) = head.next().await {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break; // the request ends here
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            first = range.trim_end_matches('-').parse().map_err(io::Error::other)?;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    sleep(site.manners.delay).await;
    let number = site.count(path);

    if site.manners.fail_first && number == 1 {
        return refuse(connection, "503 Service Unavailable").await;
    }
    let file = site.folder.join(path.trim_start_matches('/'));
    let Ok(content) = to_thread(move || fs::read(file)).await else {
        return refuse(connection, "404 Not Found").await;
    };
    let body = content.get(first..).unwrap_or_default();
    let status = if first == 0 { "200 OK" } else { "206 Partial Content" };
    start(connection, status, body.len()).await?;
    let cuts = site.manners.cut_first && number == 1 + usize::from(site.manners.fail_first);
    connection.write_all(if cuts { &body[..body.len() / 2] } else { body }).await?;
    connection.close().await
}

async fn refuse(mut connection: &TcpStream, status: &str) -> io::Result<()> {
    start(connection, status, 0).await?;
    connection.close().await
}

async fn start(mut connection: &TcpStream, status: &str, length: usize) -> io::Result<()> {
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    connection.write_all(head.as_bytes()).await
}
