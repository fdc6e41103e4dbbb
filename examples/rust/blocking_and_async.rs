//! Blocking and async code in one program: what stops the loop, what does not, and the way back.
//!
//! What to see: a heartbeat runs on the loop. A blocking call inside a task stops it dead; the
//! same call in a thread does not. In the other direction, blocking code in a thread hands a
//! future to the loop and waits for its result.

mod support;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use rondel::LoopHandle;
use support::data::Folder;
use support::file_server::{FileServer, Manners};
use support::http_get;

/// Counts how often the loop comes round.
async fn beat(beats: Rc<Cell<u32>>) {
    loop {
        rondel::sleep(Duration::from_millis(10)).await;
        beats.set(beats.get() + 1);
    }
}

/// Reports the beats since the last report.
fn report(beats: &Cell<u32>) {
    let count = beats.take();
    let state = if count > 0 { "went on" } else { "stood still" };
    println!("   {count} heartbeats meanwhile: the loop {state}");
}

/// Blocking code, in a thread, that wants what only the loop can do.
fn blocking_function(on_loop: &LoopHandle, url: String) -> io::Result<Vec<u8>> {
    on_loop.create_task(move || async move { http_get::get(&url).await }).result()?
}

fn main() -> io::Result<()> {
    let data = Folder::with_data()?;
    let slow = Manners { delay: Duration::from_millis(400), ..Manners::default() };
    let server = FileServer::start(data.path(), slow)?;
    let url = format!("{}/example.txt", server.url);

    rondel::run(async {
        let beats = Rc::new(Cell::new(0));
        let beating = rondel::create_task(beat(Rc::clone(&beats)));
        rondel::yield_now().await; // the heart begins to beat

        println!("1. A blocking call in a task (don't)");
        http_get::get_blocking(&url)?;
        report(&beats);

        println!("2. The same call in a thread");
        let blocking_url = url.clone();
        rondel::to_thread(move || http_get::get_blocking(&blocking_url)).await?;
        report(&beats);

        println!("3. An async call in place of the blocking one");
        http_get::get(&url).await?;
        report(&beats);

        println!("4. A thread that blocks until the loop has run a future for it");
        let on_loop = rondel::get_running_loop();
        rondel::to_thread(move || blocking_function(&on_loop, url)).await?;
        report(&beats);

        beating.cancel();
        Ok(())
    })
}
