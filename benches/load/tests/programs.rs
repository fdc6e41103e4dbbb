//! The programs against each other, and against servers that do not keep their word.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Command, Output, Stdio};
use std::thread;

const PROGRAM: &str = env!("CARGO_BIN_EXE_rondel-load");

/// A server of the program's own. It ends with its standard input, and so with the test.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(PROGRAM)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split('"').nth(3).unwrap().to_owned();
        Self { process, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}

fn load(command: &str, to: &str, arguments: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args([command, "--to", to, "--warm-up", "0.01", "--duration", "0.05"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn succeeds(command: &str, to: &str, arguments: &[&str]) -> String {
    let output = load(command, to, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn fails(command: &str, to: &str, arguments: &[&str]) -> String {
    let output = load(command, to, arguments);
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

/// A server that sends back what `answer` makes of the first thing it gets, and then closes.
fn server_that(answer: impl FnOnce(Vec<u8>) -> Vec<u8> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let mut connection = listener.accept().unwrap().0;
        let mut buffer = vec![0; 65536];
        let count = connection.read(&mut buffer).unwrap();
        buffer.truncate(count);
        connection.write_all(&answer(buffer)).unwrap();
    });
    address
}

#[test]
fn echoes_of_all_sizes_and_numbers_come_back_whole() {
    let server = Server::start(&["serve-echo"]);
    for size in ["1", "64", "131072", "1000000"] {
        for connections in ["1", "20"] {
            let options = ["--size", size, "--connections", connections];
            assert!(succeeds("echo", &server.address, &options).contains("\"rate\": "));
        }
    }
    let process = server.process.id().to_string();
    assert!(succeeds("echo", &server.address, &["--server", &process]).contains("\"cpu\": "));
    for framing in ["line", "length"] {
        succeeds("echo", &server.address, &["--framing", framing]);
    }
}

#[test]
fn echoes_come_back_by_unix_sockets() {
    let path = std::env::temp_dir().join(format!("rondel-load-{}.sock", std::process::id()));
    let address = format!("unix:{}", path.display());
    {
        let server = Server::start(&["serve-echo", "--to", &address]);
        assert_eq!(server.address, address);
        succeeds("echo", &server.address, &["--size", "100000", "--connections", "3"]);
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn paced_messages_tell_their_percentiles() {
    let server = Server::start(&["serve-echo"]);
    let options = ["--rate", "2000", "--connections", "4"];
    let told = succeeds("paced", &server.address, &options);
    for name in ["p50", "p99", "p99.9"] {
        assert!(told.contains(&format!("\"{name}\": ")), "{told}");
    }
}

#[test]
fn connections_come_and_go() {
    let server = Server::start(&["serve-echo"]);
    succeeds("churn", &server.address, &["--connections", "8"]);
}

#[test]
fn idle_connections_are_held_until_standard_input_ends() {
    let server = Server::start(&["serve-echo"]);
    let told = succeeds("idle", &server.address, &["--connections", "50"]);
    assert_eq!(told, "{\"connections\": 50}\n");
}

#[test]
fn datagrams_come_back() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        loop {
            let (count, from) = socket.recv_from(&mut buffer).unwrap();
            socket.send_to(&buffer[..count], from).unwrap();
        }
    });
    succeeds("udp", &address, &["--size", "1024", "--connections", "4"]);
}

#[test]
fn a_wrong_byte_is_an_error() {
    let address = server_that(|mut message| {
        message[10] ^= 1;
        message
    });
    assert!(fails("echo", &address, &[]).contains("what came back is not what was sent"));
}

#[test]
fn a_byte_too_many_is_an_error() {
    let address = server_that(|message| [message, b"!".to_vec()].concat());
    assert!(fails("echo", &address, &[]).contains("what came back is not what was sent"));
}

#[test]
fn a_server_that_closes_is_an_error() {
    let address = server_that(|message| message[1..10].to_vec());
    let complaint = fails("churn", &address, &[]);
    assert!(complaint.contains("what came back is not"), "{complaint}");
    let address = server_that(|_| Vec::new());
    assert!(fails("echo", &address, &[]).contains("the server closed a connection"));
}

#[test]
fn another_page_than_the_one_asked_for_is_an_error() {
    let server = Server::start(&["serve-http", "--size", "5"]);
    assert!(fails("http", &server.address, &[]).contains("the body is not what was asked for"));
}

#[test]
fn wrong_options_are_errors() {
    assert!(fails("echo", "127.0.0.1:1", &["--nonsense", "1"]).contains("no such option"));
    assert!(fails("echo", "nowhere", &[]).contains("--to nowhere"));
    assert!(fails("dance", "127.0.0.1:1", &[]).contains("no such command"));
}
