//! An HTTP server and its client in one program, with hyper, on loopback.
//!
//! What to see: a hundred requests share a few connections; an upload and a download are streamed
//! piece by piece; an error of the server arrives as its status. hyper knows nothing of the loop it
//! runs on: the few lines of `Connection` are all that stands between.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_lite::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::rt::ReadBufCursor;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use rondel::io::{AsyncRead, AsyncWrite, StreamExt};
use rondel::net::{TcpListener, TcpStream};
use rondel::{create_task, gather, yield_now};

type Failure = Box<dyn Error>;
type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A stream as hyper wants it.
struct Connection(TcpStream);

impl hyper::rt::Read for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut chunk = [0; 8192];
        let room = buf.remaining().min(chunk.len());
        let len = ready!(Pin::new(&mut self.0).poll_read(cx, &mut chunk[..room]))?;
        buf.put_slice(&chunk[..len]);
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// Bytes that are not the same for the same bytes in another order.
fn checksum(sum: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(sum, |sum, byte| sum.rotate_left(5) ^ u32::from(*byte))
}

// The server: one call for each request.

fn whole(text: String) -> Body {
    Full::from(text).map_err(|never| match never {}).boxed_unsync()
}

/// Lines that are sent as they are made.
fn squares() -> Body {
    let lines = stream::iter(1..=5).then(|number: u32| async move {
        yield_now().await;
        Ok(Frame::data(Bytes::from(format!("{}\n", number * number))))
    });
    StreamBody::new(lines).boxed_unsync()
}

async fn answer(request: Request<Incoming>) -> hyper::Result<Response<Body>> {
    let path = request.uri().path().to_owned();
    let name = path.strip_prefix("/greet/");
    Ok(match (request.method(), name, path.as_str()) {
        (&Method::GET, Some(name), _) => Response::new(whole(format!("hello {name}"))),
        (&Method::GET, None, "/squares") => Response::new(squares()),
        (&Method::POST, None, "/checksum") => {
            // As it comes in; it is never whole in memory.
            let (mut size, mut sum) = (0, 0);
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                if let Ok(piece) = frame?.into_data() {
                    size += piece.len();
                    sum = checksum(sum, &piece);
                }
            }
            Response::new(whole(format!("{size} {sum}")))
        }
        _ => {
            let mut missing = Response::new(whole(String::new()));
            *missing.status_mut() = StatusCode::NOT_FOUND;
            missing
        }
    })
}

/// Serves every connection in a task of its own, until cancelled.
async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        create_task(async {
            let serving = hyper::server::conn::http1::Builder::new()
                .serve_connection(Connection(stream), service_fn(answer));
            if let Err(error) = serving.await {
                eprintln!("a connection failed: {error}");
            }
        });
    }
}

// The client.

/// A connection on which one request follows the other.
async fn connect(server: SocketAddr) -> Result<SendRequest<Body>, Failure> {
    let stream = TcpStream::connect(server).await?;
    let (sender, connection) = hyper::client::conn::http1::handshake(Connection(stream)).await?;
    create_task(connection);
    Ok(sender)
}

async fn send(
    client: &mut SendRequest<Body>,
    method: Method,
    path: &str,
    body: Body,
) -> Result<Response<Incoming>, Failure> {
    client.ready().await?;
    let request = Request::builder().method(method).uri(path).header("Host", "localhost");
    Ok(client.send_request(request.body(body)?).await?)
}

fn nothing() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

async fn text(answer: Response<Incoming>) -> Result<String, Failure> {
    Ok(String::from_utf8(answer.into_body().collect().await?.to_bytes().into())?)
}

/// Ten requests on one connection; whether every answer is right.
async fn greet_ten(server: SocketAddr, first: usize) -> Result<bool, Failure> {
    let mut client = connect(server).await?;
    let mut right = true;
    for number in first..first + 10 {
        let path = format!("/greet/guest{number}");
        let answer = send(&mut client, Method::GET, &path, nothing()).await?;
        right &= text(answer).await? == format!("hello guest{number}");
    }
    Ok(right)
}

/// Talks to the server in each of its ways.
async fn ask(server: SocketAddr) -> Result<(), Failure> {
    let greeted = gather((0..10).map(|number| greet_ten(server, number * 10))).await;
    let right = greeted.into_iter().collect::<Result<Vec<_>, _>>()?;
    let all = right.iter().all(|right| *right);
    println!(
        "{} requests on {} connections, every answer right: {all}",
        right.len() * 10,
        right.len()
    );

    let mut client = connect(server).await?;
    // A body of 1 MiB that is made while it is sent.
    let pieces = (0..16_u8).map(|number| Bytes::from(vec![number; 1 << 16]));
    let expected = pieces.clone().fold(0, |sum, piece| checksum(sum, &piece));
    let body = StreamBody::new(stream::iter(pieces).map(|piece| Ok(Frame::data(piece))));
    let answer = send(&mut client, Method::POST, "/checksum", body.boxed_unsync()).await?;
    let reply = text(answer).await?;
    let (size, sum) = reply.split_once(' ').unwrap_or_default();
    println!("uploaded {size} bytes, checksum right: {}", sum == expected.to_string());

    let mut lines = send(&mut client, Method::GET, "/squares", nothing()).await?.into_body();
    print!("streamed lines:");
    while let Some(frame) = lines.frame().await {
        if let Ok(line) = frame?.into_data() {
            print!(" {}", String::from_utf8_lossy(&line).trim_end());
        }
    }
    println!();

    let missing = send(&mut client, Method::GET, "/nowhere", nothing()).await?;
    println!("an error is a status: {}", missing.status());
    Ok(())
}

fn main() -> Result<(), Failure> {
    rondel::run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let server = listener.local_addr()?;
        let serving = create_task(serve(listener));
        ask(server).await?;
        serving.cancel();
        assert!(serving.await.is_err_and(|error| error.is_cancelled()));
        println!("server and client closed");
        Ok(())
    })
}
