//! TCP streams and listeners, over loopback.
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use rondel::io::{AsyncReadExt, AsyncWriteExt, StreamExt};
use rondel::net::{TcpListener, TcpStream, getaddrinfo};
use rondel::{create_task, gather, run, sleep, timeout, yield_now};

const LOCALHOST: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);
const SHORT: Duration = Duration::from_millis(5);

/// Both ends of one connection.
async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(LOCALHOST).await?;
    let address = listener.local_addr()?;
    let (client, server) = gather!(TcpStream::connect(address), listener.accept()).await;
    Ok((client?, server?.0))
}

/// Bytes without a short period, so that a piece that is lost, doubled or displaced shows.
fn pattern(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect()
}

async fn echo(mut stream: TcpStream) -> io::Result<u64> {
    let reader = stream.clone();
    let bytes = rondel::io::copy(reader, &mut stream).await?;
    stream.close().await?;
    Ok(bytes)
}

#[test]
fn eight_mebibytes_come_back_whole_after_a_half_close() -> io::Result<()> {
    run(async {
        let (client, server) = pair().await?;
        let server = create_task(echo(server));
        let sent = pattern(8 << 20);
        let mut received = Vec::new();
        let (wrote, read) = gather!(
            async {
                (&client).write_all(&sent).await?;
                (&client).close().await
            },
            (&client).read_to_end(&mut received)
        )
        .await;
        wrote?;
        assert_eq!(read?, sent.len());
        assert!(received == sent);
        assert_eq!(server.await??, 8 << 20);
        Ok(())
    })
}

#[test]
fn clones_are_one_connection_which_ends_with_the_last() -> io::Result<()> {
    run(async {
        let (client, mut server) = pair().await?;
        let reading = client.clone();
        let reader = create_task(async move {
            let mut text = String::new();
            (&reading).read_to_string(&mut text).await.map(|_| text)
        });
        let mut writing = client.clone();
        writing.write_all(b"from a clone").await?;
        drop(writing);
        drop(client);
        let mut heard = [0; 12];
        server.read_exact(&mut heard).await?;
        assert_eq!(&heard, b"from a clone");
        server.write_all(b"still there").await?;
        drop(server);
        assert_eq!(reader.await??, "still there");
        Ok(())
    })
}

#[test]
fn the_other_end_sees_the_end_when_the_stream_is_dropped() -> io::Result<()> {
    run(async {
        let (client, mut server) = pair().await?;
        drop(client);
        assert_eq!(server.read(&mut [0; 8]).await?, 0);
        Ok(())
    })
}

#[test]
fn several_buffers_go_out_and_come_in_at_once() -> io::Result<()> {
    run(async {
        let (mut client, mut server) = pair().await?;
        let pieces = [IoSlice::new(b"head"), IoSlice::new(b""), IoSlice::new(b"body")];
        assert_eq!(client.write_vectored(&pieces).await?, 8);
        let (mut first, mut second) = ([0; 3], [0; 10]);
        let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(server.read_vectored(&mut bufs).await?, 8);
        assert_eq!((&first, &second[..5]), (b"hea", &b"dbody"[..]));
        Ok(())
    })
}

#[test]
fn peeked_bytes_stay() -> io::Result<()> {
    run(async {
        let (mut client, mut server) = pair().await?;
        client.write_all(b"abc").await?;
        let mut seen = [0; 3];
        assert_eq!(server.peek(&mut seen).await?, 3);
        seen.fill(0);
        server.read_exact(&mut seen).await?;
        assert_eq!(&seen, b"abc");
        Ok(())
    })
}

#[test]
fn closing_twice_or_after_the_other_end_is_no_error() -> io::Result<()> {
    run(async {
        let (mut client, server) = pair().await?;
        drop(server);
        assert_eq!(client.read(&mut [0; 1]).await?, 0);
        client.close().await?;
        client.close().await?;
        Ok(())
    })
}

#[test]
fn writing_to_a_connection_that_was_reset_is_an_error_and_no_signal() -> io::Result<()> {
    run(async {
        let (mut client, server) = pair().await?;
        client.write_all(b"unread, so that closing resets").await?;
        server.peek(&mut [0; 1]).await?;
        drop(server);
        let big = vec![0; 1 << 20];
        let error = loop {
            let pieces = [IoSlice::new(&big), IoSlice::new(&big)];
            if let Err(error) = client.write_vectored(&pieces).await {
                break error;
            }
        };
        assert!(
            matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
            "{error:?}"
        );
        Ok(())
    })
}

#[test]
fn an_end_that_was_shut_down_is_shut_for_this_and_the_other_side() -> io::Result<()> {
    run(async {
        let (mut client, mut server) = pair().await?;
        client.shutdown(Shutdown::Both)?;
        assert_eq!(server.read(&mut [0; 1]).await?, 0);
        assert_eq!(client.read(&mut [0; 1]).await?, 0);
        let error = client.write(b"x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        Ok(())
    })
}

#[test]
fn addresses_and_nodelay_are_those_of_the_socket() -> io::Result<()> {
    run(async {
        let (client, server) = pair().await?;
        assert_eq!(client.local_addr()?, server.peer_addr()?);
        assert_eq!(client.peer_addr()?, server.local_addr()?);
        assert!(client.nodelay()? && server.nodelay()?, "as asyncio has it");
        client.set_nodelay(false)?;
        assert!(!client.nodelay()?);
        Ok(())
    })
}

#[test]
fn a_refused_connection_says_so() -> io::Result<()> {
    run(async {
        let unused = TcpListener::bind(LOCALHOST).await?.local_addr()?;
        let error = TcpStream::connect(unused).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        Ok(())
    })
}

#[test]
fn each_address_of_a_name_is_tried_in_turn() -> io::Result<()> {
    run(async {
        let unused = TcpListener::bind(LOCALHOST).await?.local_addr()?;
        let listener = TcpListener::bind(LOCALHOST).await?;
        let addresses = [unused, listener.local_addr()?];
        let client = TcpStream::connect(&addresses[..]).await?;
        assert_eq!(client.peer_addr()?, addresses[1]);

        let unreachable: SocketAddr = "255.255.255.255:1".parse().unwrap();
        let error = TcpStream::connect(&[unused, unreachable][..]).await.unwrap_err();
        assert!(error.to_string().starts_with("Multiple exceptions: "), "{error}");
        let error = TcpStream::connect(&[unused, unused][..]).await.unwrap_err();
        assert!(error.raw_os_error().is_some(), "one reason is enough: {error}");
        let error = TcpStream::connect(&[][..]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        Ok(())
    })
}

#[test]
fn names_are_resolved_and_numbers_need_no_thread() -> io::Result<()> {
    run(async {
        let listener = TcpListener::bind("localhost:0").await?;
        let port = listener.local_addr()?.port();
        let mut incoming = listener.incoming();
        for address in [format!("localhost:{port}"), listener.local_addr()?.to_string()] {
            let (client, server) = gather!(TcpStream::connect(&address), incoming.next()).await;
            assert_eq!(client?.local_addr()?, server.unwrap()?.peer_addr()?);
        }
        let (client, server) =
            gather!(TcpStream::connect(("localhost", port)), incoming.next()).await;
        assert_eq!(client?.local_addr()?, server.unwrap()?.peer_addr()?);

        assert_eq!(getaddrinfo("192.0.2.7", 80).await?, ["192.0.2.7:80".parse().unwrap()]);
        assert_eq!(getaddrinfo("2001:db8::7", 80).await?, ["[2001:db8::7]:80".parse().unwrap()]);
        for bad in ["no port", "host:", "host:70000", ""] {
            let error = TcpStream::connect(bad).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad:?}");
        }
        Ok(())
    })
}

#[test]
fn a_name_that_does_not_exist_is_an_error_that_comes_from_a_thread() {
    run(async {
        let turns = std::cell::Cell::new(0);
        let counting = async {
            loop {
                turns.set(turns.get() + 1);
                yield_now().await;
            }
        };
        let looking = getaddrinfo("does-not-exist.invalid", 80);
        let found = futures_lite::future::or(looking, counting).await;
        assert!(found.is_err());
        assert!(turns.get() > 0, "the loop went on");
    });
}

#[test]
fn an_address_in_use_is_an_error() -> io::Result<()> {
    run(async {
        let listener = TcpListener::bind(LOCALHOST).await?;
        let error = TcpListener::bind(listener.local_addr()?).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let other = TcpListener::bind(&[listener.local_addr()?, LOCALHOST.into()][..]).await?;
        assert_ne!(other.local_addr()?, listener.local_addr()?);
        Ok(())
    })
}

#[test]
fn several_tasks_accept_from_one_listener_and_none_is_forgotten() -> io::Result<()> {
    run(async {
        let listener = Rc::new(TcpListener::bind(LOCALHOST).await?);
        let address = listener.local_addr()?;
        let accepting: Vec<_> = (0..10)
            .map(|_| {
                let listener = Rc::clone(&listener);
                create_task(async move { listener.accept().await.map(|(_, peer)| peer) })
            })
            .collect();
        yield_now().await;
        // Some of those who wait change their minds.
        for task in accepting.iter().step_by(3) {
            task.cancel();
        }
        yield_now().await;
        let mut clients = Vec::new();
        for _ in 0..6 {
            clients.push(TcpStream::connect(address).await?);
            sleep(Duration::ZERO).await;
        }
        let mut accepted = Vec::new();
        for (number, task) in accepting.into_iter().enumerate() {
            match task.await {
                Ok(peer) => accepted.push(peer?),
                Err(error) => assert!(error.is_cancelled() && number % 3 == 0),
            }
        }
        let mut expected: Vec<_> =
            clients.iter().map(TcpStream::local_addr).collect::<Result<_, _>>()?;
        accepted.sort();
        expected.sort();
        assert_eq!(accepted, expected);
        Ok(())
    })
}

#[test]
fn a_cancelled_read_loses_no_bytes() -> io::Result<()> {
    run(async {
        let (mut client, mut server) = pair().await?;
        let mut buf = [0; 16];
        for _ in 0..3 {
            assert!(timeout(SHORT, server.read(&mut buf)).await.is_err());
        }
        client.write_all(b"late").await?;
        assert_eq!(server.read(&mut buf).await?, 4);
        assert_eq!(&buf[..4], b"late");
        Ok(())
    })
}

#[test]
fn a_cancelled_connect_closes_its_socket_and_the_number_can_be_used_again() -> io::Result<()> {
    run(async {
        // A listener that does not accept and whose queue is full answers nobody.
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        listener.bind(&SocketAddr::from(LOCALHOST).into())?;
        listener.listen(0)?;
        let address = listener.local_addr()?.as_socket().unwrap();
        let mut queued = Vec::new();
        while let Ok(connected) = timeout(20 * SHORT, TcpStream::connect(address)).await {
            queued.push(connected?);
        }
        // The number of the given-up socket goes to the next one, which must not be disturbed.
        let (mut client, mut server) = pair().await?;
        client.write_all(b"x").await?;
        server.read_exact(&mut [0]).await?;
        assert!(timeout(SHORT, server.read(&mut [0])).await.is_err());
        Ok(())
    })
}

#[test]
fn the_number_of_a_closed_connection_can_be_waited_for_again() -> io::Result<()> {
    run(async {
        let mut numbers = Vec::new();
        for _ in 0..3 {
            let (mut client, server) = pair().await?;
            numbers.push(server.as_raw_fd());
            let reading = create_task(async move { (&server).read(&mut [0; 8]).await });
            sleep(SHORT).await; // it is waiting
            client.write_all(b"x").await?;
            let read = timeout(Duration::from_secs(10), reading).await;
            assert_eq!(read.expect("somebody is woken").unwrap()?, 1);

            let (_client, server) = pair().await?;
            numbers.push(server.as_raw_fd());
            let reading = create_task(async move { (&server).read(&mut [0; 8]).await });
            sleep(SHORT).await;
            assert!(reading.cancel(), "closed while it waits");
            assert!(reading.await.unwrap_err().is_cancelled());
        }
        numbers.sort_unstable();
        numbers.dedup();
        assert!(numbers.len() < 6, "no number came twice");
        Ok(())
    })
}

#[test]
fn a_socket_that_is_always_ready_does_not_keep_others_waiting() -> io::Result<()> {
    run(async {
        let (client, server) = pair().await?;
        // Faster than anybody who takes one byte at a time.
        let mut flooding = client.into_std()?;
        let block = vec![0; 1 << 16];
        let flood = thread::spawn(move || while flooding.write_all(&block).is_ok() {});
        let reading = create_task(async move {
            while (&server).read(&mut [0]).await? > 0 {}
            io::Result::Ok(())
        });
        sleep(SHORT).await;
        assert!(reading.cancel());
        assert!(reading.await.unwrap_err().is_cancelled());
        flood.join().unwrap();
        Ok(())
    })
}

#[test]
fn a_connection_moves_to_another_thread_and_back() -> io::Result<()> {
    run(async {
        let (client, mut server) = pair().await?;
        assert!(timeout(SHORT, (&client).read(&mut [0])).await.is_err()); // the loop knows it
        let mut blocking = client.into_std()?;
        let talking = thread::spawn(move || -> io::Result<std::net::TcpStream> {
            let mut word = [0; 5];
            blocking.read_exact(&mut word)?;
            blocking.write_all(&word)?;
            Ok(blocking)
        });
        server.write_all(b"hello").await?;
        let mut word = [0; 5];
        server.read_exact(&mut word).await?;
        assert_eq!(&word, b"hello");

        let mut client = TcpStream::from_std(talking.join().unwrap()?)?;
        server.write_all(b"again").await?;
        client.read_exact(&mut word).await?;
        assert_eq!(&word, b"again");

        let kept = client.clone();
        let shared = client.into_std()?;
        drop(kept);
        drop(shared);
        assert_eq!(server.read(&mut word).await?, 0);
        Ok(())
    })
}

#[test]
fn a_stream_goes_on_in_the_next_loop() -> io::Result<()> {
    let (mut client, mut server) = run(async {
        let (client, server) = pair().await?;
        assert!(timeout(SHORT, (&server).read(&mut [0])).await.is_err());
        io::Result::Ok((client, server))
    })?;
    run(async {
        let mut word = [0; 4];
        let (wrote, read) = gather!(
            async {
                yield_now().await;
                client.write_all(b"next").await
            },
            server.read_exact(&mut word)
        )
        .await;
        wrote.and(read)?;
        assert_eq!(&word, b"next");
        Ok(())
    })
}

#[test]
fn a_stream_may_outlive_every_loop() {
    let kept = run(async {
        let (client, server) = pair().await.unwrap();
        create_task(async move { (&server).read(&mut [0]).await });
        yield_now().await;
        client
    });
    assert!(kept.local_addr().is_ok());
    drop(kept);
}

#[test]
fn the_connections_of_a_listener_come_as_a_stream() -> io::Result<()> {
    run(async {
        let listener = TcpListener::bind(LOCALHOST).await?;
        let address = listener.local_addr()?;
        let clients = create_task(async move {
            for number in 0..5_u8 {
                TcpStream::connect(address).await?.write_all(&[number]).await?;
            }
            io::Result::Ok(())
        });
        let mut numbers = Vec::new();
        let mut incoming = listener.incoming().take(5);
        while let Some(stream) = incoming.next().await {
            let mut byte = [0];
            stream?.read_exact(&mut byte).await?;
            numbers.push(byte[0]);
        }
        clients.await??;
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
        Ok(())
    })
}
