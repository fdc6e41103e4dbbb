//! Runs tests in a program whose `main` is its own, with the command line of cargo's test programs.

pub(crate) mod calls;

use std::panic::catch_unwind;
use std::process::ExitCode;

/// A test and its name.
pub(crate) type Test = (&'static str, fn());

/// Runs the tests that the command line asks for, one after the other.
pub(crate) fn run(tests: &[Test]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let filters: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let asked_for = |name: &str| {
        let fits = |filter: &&String| {
            if given("--exact") { name == *filter } else { name.contains(filter.as_str()) }
        };
        filters.is_empty() || filters.iter().any(fits)
    };
    let mut failed = Vec::new();
    for (name, test) in tests.iter().filter(|(name, _)| asked_for(name) && !given("--ignored")) {
        if given("--list") {
            println!("{name}: test");
        } else if catch_unwind(test).is_err() {
            failed.push(name);
        } else {
            println!("test {name} ... ok");
        }
    }
    for name in &failed {
        println!("test {name} ... FAILED");
    }
    ExitCode::from(u8::from(!failed.is_empty()))
}

/// The tests of these names.
#[macro_export]
macro_rules! tests {
    ($($name:ident),+ $(,)?) => { &[$((stringify!($name), $name as fn())),+] };
}
