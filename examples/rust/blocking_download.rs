//! The problem: a blocking download. While it waits for the network, nothing else runs.
//!
//! What to see: the slow server takes one second to answer, and the program stands still for it.
//! The "other work" comes only when the download is over.

mod support;

use std::io;
use std::time::{Duration, Instant};

use support::data::Folder;
use support::file_server::{FileServer, Manners};
use support::http_get;

/// Downloads `url`, and stands still meanwhile.
fn download_file(url: &str) -> io::Result<()> {
    println!("Downloading file...");
    let body = http_get::get_blocking(url)?; // waits here; the whole program waits
    println!("Download complete! {} bytes", body.len());
    Ok(())
}

fn main() -> io::Result<()> {
    let data = Folder::with_data()?;
    let slow = Manners { delay: Duration::from_secs(1), ..Manners::default() };
    let server = FileServer::start(data.path(), slow)?;

    let started = Instant::now();
    println!("Starting program");
    download_file(&format!("{}/example.txt", server.url))?;
    println!("Doing other work, {:.1} s late", started.elapsed().as_secs_f64());
    println!("Program finished");
    Ok(())
}
