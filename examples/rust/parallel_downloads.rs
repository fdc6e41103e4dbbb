//! Several downloads in parallel: one thread, many sockets, and the waits overlap.
//!
//! What to see: the server takes 0.3 s for each answer. One after another the waits add up;
//! together they take as long as the slowest. The server counts how many requests it had open at
//! once.

mod support;

use std::io;
use std::time::Duration;

use support::data::{Folder, SMALL};
use support::file_server::{FileServer, Manners};
use support::http_get;

/// Each download begins when the one before is over.
async fn one_after_another(urls: &[String]) -> io::Result<Vec<Vec<u8>>> {
    let mut bodies = Vec::new();
    for url in urls {
        bodies.push(http_get::get(url).await?);
    }
    Ok(bodies)
}

/// All downloads begin at once; the results come in the order of `urls`.
async fn together(urls: &[String]) -> io::Result<Vec<Vec<u8>>> {
    rondel::gather(urls.iter().map(|url| http_get::get(url))).await.into_iter().collect()
}

/// Says what came of it and how long it took.
async fn measure(
    way: &str,
    server: &FileServer,
    downloads: impl Future<Output = io::Result<Vec<Vec<u8>>>>,
) -> io::Result<Vec<Vec<u8>>> {
    let started = rondel::time();
    let bodies = downloads.await?;
    let took = (rondel::time() - started).as_secs_f64();
    let at_once = server.most_at_once();
    println!("{way}: {} downloads in {took:.1} s, {at_once} at once", bodies.len());
    Ok(bodies)
}

fn main() -> io::Result<()> {
    let data = Folder::with_data()?;
    let slow = Manners { delay: Duration::from_millis(300), ..Manners::default() };
    let server = FileServer::start(data.path(), slow)?;
    let urls = SMALL.map(|name| format!("{}/{name}", server.url));

    rondel::run(async {
        let first = measure("one after another", &server, one_after_another(&urls)).await?;
        let second = measure("together", &server, together(&urls)).await?;

        println!("same contents both ways: {}", first == second);
        for (name, body) in SMALL.iter().zip(second) {
            println!("  {name}: {} bytes", body.len());
        }
        Ok(())
    })
}
