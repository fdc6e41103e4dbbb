//! CPU-bound work: counting the lines of large files in other processes.
//!
//! What to see: the counts, and that other processes did the work. Rust's threads would do here,
//! too; a process can crash, or be killed halfway, and takes nothing with it.
//!
//! `count_lines [FILE ...]`; without files, the example's own.

mod support;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;

use rondel::{ProcessPoolExecutor, Worker};
use support::data::Folder;

/// Counts in whatever process this runs in: the lines, and the number of the process. What goes
/// wrong goes back as text.
#[expect(clippy::needless_pass_by_value, reason = "what travels is owned")]
fn count_lines(path: PathBuf) -> Result<(usize, u32), String> {
    let count = || -> io::Result<usize> {
        let mut file = BufReader::new(File::open(&path)?);
        let (mut lines, mut line) = (0, String::new());
        while file.read_line(&mut line)? > 0 {
            lines += 1;
            line.clear();
        }
        Ok(lines)
    };
    let lines = count().map_err(|error| format!("{}: {error}", path.display()))?;
    Ok((lines, std::process::id()))
}

fn main() -> io::Result<()> {
    // Workers are this program, started again; they get no further than this line.
    Worker::new().register(count_lines).serve();

    let data = Folder::empty("count-lines")?;
    let mut paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() {
        paths = vec![data.make_large("large1.txt", 16)?, data.make_large("large2.txt", 16)?];
    }

    rondel::run(async {
        println!("This is process {}; it only waits", std::process::id());
        let pool = ProcessPoolExecutor::builder().max_workers(2).build();
        let counts = pool.map(count_lines, paths.iter().cloned()).await?;
        pool.shutdown(false).await;

        for (path, count) in paths.iter().zip(counts) {
            let (lines, process) = count.map_err(io::Error::other)?;
            let name = path.file_name().unwrap_or_default().display();
            println!("{name} has {lines} lines, counted in process {process}");
        }
        Ok(())
    })
}
