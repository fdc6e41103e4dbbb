//! Thousands of connections on one loop, and nothing left of them. Alone in its process, which it
//! counts the descriptors of.
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::io;
use std::net::Ipv4Addr;

use rondel::io::{AsyncReadExt, AsyncWriteExt, StreamExt};
use rondel::net::{TcpListener, TcpStream};
use rondel::{create_task, gather, run};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the mission asks for, or as many as the descriptors of this process allow.
fn feasible_connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let allowed = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let allowed = allowed.map_or(usize::MAX, |allowed| usize::try_from(allowed).unwrap());
    (allowed.saturating_sub(100) / 2).min(10_000)
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn ten_thousand_connections_are_served_at_once_and_leave_no_descriptor_behind() {
    let count = feasible_connections();
    assert!(count >= 400, "only {count} connections are allowed here");
    let before = open_descriptors();
    run(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let serving = create_task(async move {
            let mut incoming = listener.incoming();
            while let Some(stream) = incoming.next().await {
                let mut stream = stream?;
                create_task(async move {
                    let mut word = [0; 8];
                    while stream.read_exact(&mut word).await.is_ok() {
                        stream.write_all(&word).await?;
                    }
                    io::Result::Ok(())
                });
            }
            io::Result::Ok(())
        });

        let mut clients = Vec::with_capacity(count);
        while clients.len() < count {
            let batch = (count - clients.len()).min(500);
            for client in gather((0..batch).map(|_| TcpStream::connect(address))).await {
                clients.push(client?);
            }
        }
        // All are open; each says its number and hears it again.
        let echoes = gather(clients.iter().enumerate().map(async |(number, mut client)| {
            let word = number.to_be_bytes();
            client.write_all(&word).await?;
            let mut echo = [0; 8];
            client.read_exact(&mut echo).await?;
            io::Result::Ok(echo == word)
        }));
        for echo in echoes.await {
            assert!(echo?);
        }
        assert!(!serving.done());
        assert!(open_descriptors() >= before + 2 * count);
        io::Result::Ok(())
    })
    .unwrap();
    assert_eq!(open_descriptors(), before);
}
