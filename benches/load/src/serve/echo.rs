//! Sends back what it gets.

use crate::Failure;
use crate::options::Options;
use crate::serve::{self, Service};

#[derive(Debug)]
struct Echo;

impl Service for Echo {
    fn answer<'a>(&'a mut self, received: &'a [u8]) -> &'a [u8] {
        received
    }
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    serve::run(options, || Echo)
}
