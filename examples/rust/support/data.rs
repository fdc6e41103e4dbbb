//! The text files that the examples read, in a folder that is removed in the end.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The small files; those that are downloaded.
pub(crate) const SMALL: [&str; 4] = ["example.txt", "file1.txt", "file2.txt", "file3.txt"];

const TEXTS: [&str; 4] = [
    "An event loop waits for many things at once\nand runs what is ready.\n",
    "The first file: a reader asks, and the loop goes on.\n",
    "The second file: meanwhile, another reader asks.\n",
    "The third file: the answers come in the order of the questions.\n",
];

/// A temporary folder.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// An empty folder.
    pub(crate) fn empty(name: &str) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("rondel-{name}-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// A folder with the small files.
    pub(crate) fn with_data() -> io::Result<Self> {
        let folder = Self::empty("data")?;
        for (name, text) in SMALL.iter().zip(TEXTS) {
            fs::write(folder.path().join(name), text)?;
        }
        Ok(folder)
    }

    /// Makes a file of many different lines.
    pub(crate) fn make_large(&self, name: &str, mebibytes: usize) -> io::Result<PathBuf> {
        const WIDTH: usize = 64;
        let path = self.path().join(name);
        let mut file = BufWriter::new(File::create(&path)?);
        for number in 0..mebibytes * (1 << 20) / WIDTH {
            writeln!(file, "{number:07} {:.<width$}", "", width = WIDTH - 9)?;
        }
        file.flush()?;
        Ok(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} could not be removed: {error}", self.0.display());
        }
    }
}
