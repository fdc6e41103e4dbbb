//! Many files at once: `submit` starts the reads, `gather` awaits them all.
//!
//! What to see: the contents in the order of the questions, whichever thread answered first. The
//! reads run in the pool that is named here; `to_thread` would use the loop's own.
//!
//! `read_many_files [FILE ...]`; without files, the example's own.

mod support;

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use rondel::ThreadPoolExecutor;
use support::data::Folder;

fn main() -> Result<(), Box<dyn Error>> {
    let data = Folder::with_data()?;
    let mut paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() {
        paths = (1..=3).map(|number| data.path().join(format!("file{number}.txt"))).collect();
    }

    rondel::run(async {
        let pool = ThreadPoolExecutor::builder().thread_name_prefix("reader").build();
        let reads = paths.iter().cloned().map(|path| pool.submit(move || fs::read_to_string(path)));
        let contents = rondel::gather(reads).await;

        for (path, content) in paths.iter().zip(contents) {
            let name = path.file_name().unwrap_or_default().display();
            print!("Contents of {name}: {}", content??);
        }
        Ok(())
    })
}
