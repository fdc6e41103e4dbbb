//! The same as asyncio does it: an async function, a task and an event loop; one thread does it
//! all.
//!
//! What to see: the task is only scheduled at first, so "Doing other work" comes before
//! "Downloading". From the first `await` on, the loop runs both: whoever has to wait lets the other
//! go on.

mod support;

use std::io;
use std::time::Duration;

use support::data::Folder;
use support::file_server::{FileServer, Manners};
use support::http_get;

/// Downloads `url`; every `await` lets the loop run others.
async fn download_file(url: String) -> io::Result<()> {
    println!("Downloading file...");
    let body = http_get::get(&url).await?;
    println!("Download complete! {} bytes", body.len());
    Ok(())
}

fn main() -> io::Result<()> {
    let data = Folder::with_data()?;
    let slow = Manners { delay: Duration::from_secs(1), ..Manners::default() };
    let server = FileServer::start(data.path(), slow)?;

    rondel::run(async {
        println!("Starting program");
        let task = rondel::create_task(download_file(format!("{}/example.txt", server.url)));

        println!("Doing other work while downloading...");
        let mut pieces = 0;
        while !task.done() {
            pieces += 1;
            rondel::sleep(Duration::from_millis(100)).await; // a piece of work
        }

        task.await??; // whether it panicked, and whether it failed
        println!("Program finished, with {pieces} pieces of other work done");
        Ok(())
    })
}
