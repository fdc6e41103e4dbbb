//! An echo server as Rust programs write it: tokio, on one thread. It ends with standard input.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Builder;

const BUFFER: usize = 256 * 1024;

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}

async fn serve(path: Option<String>) -> io::Result<()> {
    if let Some(path) = path {
        let listener = UnixListener::bind(&path)?;
        println!("{{\"address\": \"unix:{path}\"}}");
        loop {
            let stream = listener.accept().await?.0;
            tokio::spawn(echo(stream));
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{{\"address\": \"{}\"}}", listener.local_addr()?);
    loop {
        let stream = listener.accept().await?.0;
        stream.set_nodelay(true)?;
        tokio::spawn(echo(stream));
    }
}

fn main() -> io::Result<()> {
    let to = std::env::args().skip_while(|argument| argument != "--to").nth(1);
    let path = to.and_then(|to| to.strip_prefix("unix:").map(str::to_owned));
    std::thread::spawn(|| {
        // Whoever started this process wants it to end, or has ended.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    let runtime = Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(serve(path))
}
