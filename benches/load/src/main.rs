//! Load for servers, on one thread and one epoll, so that it is never slower than what it measures.
//!
//! `rondel-load echo`, `udp`, `churn`, `http` and `paced` talk to a server, check every byte that
//! comes back, and print one JSON object with what they counted. `idle` holds connections open.
//! `serve-echo` and `serve-http` are servers that do nothing but call the kernel. Servers, and
//! `idle`, print one JSON object when they are ready and end when their standard input does.

mod churn;
mod echo;
mod http;
mod idle;
mod message;
mod options;
mod paced;
mod poller;
mod report;
mod serve;
mod stream;
mod tls;
mod udp;

use std::error::Error;
use std::process::ExitCode;

use options::Options;

/// What can go wrong: the system, an answer that is not what was asked for, a wrong option.
pub(crate) type Failure = Box<dyn Error>;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    match Options::parse(arguments).and_then(|options| run(&command, &options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("rondel-load {command}: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &str, options: &Options) -> Result<(), Failure> {
    match command {
        "echo" => echo::run(options),
        "udp" => udp::run(options),
        "churn" => churn::run(options),
        "http" => http::run(options),
        "paced" => paced::run(options),
        "idle" => idle::run(options),
        "serve-echo" => serve::echo::run(options),
        "serve-http" => serve::http::run(options),
        _ => Err("no such command".into()),
    }
}
