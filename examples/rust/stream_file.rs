//! Streaming a large file through the loop: disk, TCP, disk, in constant memory.
//!
//! What to see: the peak of memory hardly grows, however large the file. Two things keep it so:
//! each side holds one block at a time, and a write waits for a slow receiver. Reads and writes of
//! the disk go to a thread, since a disk can be slow.
//!
//! `stream_file [SOURCE [TARGET]]`; without a target the copy is removed in the end.

mod support;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::Instant;

use rondel::io::{AsyncReadExt, AsyncWriteExt};
use rondel::net::{TcpListener, TcpStream};
use rondel::to_thread;
use support::data::Folder;

const BLOCK: usize = 256 * 1024;
const MIB: f64 = (1 << 20) as f64;

/// Sends `source`, a block at a time, and says that there is no more.
async fn send_file(source: PathBuf, mut connection: TcpStream) -> io::Result<()> {
    let mut file = to_thread(|| File::open(source)).await?;
    let mut block = vec![0; BLOCK];
    loop {
        let read;
        // The thread borrows nothing: file and block go there and come back.
        (read, file, block) = to_thread(move || (file.read(&mut block), file, block)).await;
        match read? {
            0 => return connection.close().await,
            len => connection.write_all(&block[..len]).await?, // not faster than the receiver
        }
    }
}

/// Stores what comes; `target` appears only when it is whole.
async fn receive_file(mut connection: TcpStream, target: PathBuf) -> io::Result<()> {
    let unfinished = target.with_extension("part");
    let mut file = File::create(&unfinished)?;
    let mut block = vec![0; BLOCK];
    loop {
        let len = connection.read(&mut block).await?;
        if len == 0 {
            return to_thread(move || fs::rename(unfinished, target)).await;
        }
        let stored;
        (stored, file, block) =
            to_thread(move || (file.write_all(&block[..len]), file, block)).await;
        stored?;
    }
}

/// Serves `source` to one client, which is this program itself.
async fn stream(source: PathBuf, target: PathBuf) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (sent, received) =
        rondel::gather!(async { send_file(source, listener.accept().await?.0).await }, async {
            receive_file(TcpStream::connect(address).await?, target).await
        },)
        .await;
    sent.and(received)
}

/// The most memory that this program has held until now, in bytes; 0 where nobody tells.
fn peak_memory() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.trim_end_matches("kB").trim().parse::<f64>().ok());
    kib.unwrap_or_default() * 1024.0
}

fn main() -> io::Result<()> {
    let folder = Folder::empty("stream")?;
    let mut given = std::env::args_os().skip(1).map(PathBuf::from);
    let source = match given.next() {
        Some(source) => source,
        None => folder.make_large("large1.txt", 16)?,
    };
    let target = given.next().unwrap_or_else(|| folder.path().join("copy"));
    let size = fs::metadata(&source)?.len();

    let (before, started) = (peak_memory(), Instant::now());
    rondel::run(stream(source.clone(), target.clone()))?;
    let (took, after) = (started.elapsed().as_secs_f64(), peak_memory());

    let name = source.file_name().unwrap_or_default().display();
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let mebibytes = size as f64 / MIB;
    println!("streamed {name}: {size} bytes in {took:.2} s ({:.0} MiB/s)", mebibytes / took);
    println!(
        "peak memory: {:.1} MiB before, {:.1} MiB after, grown by {:.1} MiB for a file of \
         {mebibytes:.1} MiB",
        before / MIB,
        after / MIB,
        (after - before) / MIB,
    );
    if fs::read(source)? != fs::read(target)? {
        return Err(io::Error::other("the copy differs from the source"));
    }
    println!("the copy is the same as the source");
    Ok(())
}
