//! The first way out: the download waits in a thread of its own, and the main thread goes on.
//!
//! What to see: other work is done while the download waits. The price is a thread for each
//! download; `asyncio_download` does without.

mod support;

use std::io;
use std::thread;
use std::time::Duration;

use support::data::Folder;
use support::file_server::{FileServer, Manners};
use support::http_get;

/// Downloads `url`, and blocks the calling thread meanwhile.
fn download_file(url: &str) -> io::Result<()> {
    println!("Downloading file...");
    let body = http_get::get_blocking(url)?; // waits here; only this thread waits
    println!("Download complete! {} bytes", body.len());
    Ok(())
}

fn main() -> io::Result<()> {
    let data = Folder::with_data()?;
    let slow = Manners { delay: Duration::from_secs(1), ..Manners::default() };
    let server = FileServer::start(data.path(), slow)?;
    let url = format!("{}/example.txt", server.url);

    println!("Starting program");
    let thread = thread::spawn(move || download_file(&url));

    let mut pieces = 0;
    while !thread.is_finished() {
        if pieces == 0 {
            println!("Doing other work while downloading...");
        }
        pieces += 1;
        thread::sleep(Duration::from_millis(100)); // a piece of work
    }
    thread.join().map_err(|_| io::Error::other("the download panicked"))??;
    println!("Program finished, with {pieces} pieces of other work done");
    Ok(())
}
