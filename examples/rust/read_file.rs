//! Reading a file off the loop: `to_thread` runs a blocking function in a thread.
//!
//! What to see: the file's contents. A disk can be slow, and a file is always "ready" to the
//! kernel, so a loop cannot wait for it as it waits for a socket: the read goes to a thread, and
//! the task awaits its result.
//!
//! `read_file [FILE]`; without a file, the example's own.

mod support;

use std::fs;
use std::io;
use std::path::PathBuf;

use support::data::Folder;

fn main() -> io::Result<()> {
    let data = Folder::with_data()?;
    let given = std::env::args_os().nth(1).map(PathBuf::from);
    let path = given.unwrap_or_else(|| data.path().join("example.txt"));

    rondel::run(async {
        println!("Reading file asynchronously...");
        let content = rondel::to_thread(move || fs::read_to_string(path)).await?;
        print!("File contents: {content}");
        Ok(())
    })
}
