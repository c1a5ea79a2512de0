//! An MCP server over stdio that misbehaves as its script says.
//!
//! `fake-server --help` is the manual. Every answer is made by one reader thread in the order of
//! the requests, except those that wait: for time, for an answer of the client, or for ever.

mod ask;
mod catalog;
mod flags;
mod handshake;
mod message;
mod odd;
mod output;
mod process;
mod progress;
mod record;
mod rounds;
mod script;
mod server;
mod timer;
mod tools;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help") {
        return match io::stdout().write_all(flags::HELP.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    if arguments
        .first()
        .is_some_and(|argument| argument == process::LINGER)
    {
        return process::linger(
            arguments
                .iter()
                .any(|argument| argument == process::IGNORE_EOF),
        );
    }
    match flags::script(&arguments) {
        Ok(script) => server::run(script),
        Err(message) => {
            // Nobody is left to tell when standard error is gone too.
            let _unheard = writeln!(io::stderr(), "fake-server: {message}");
            ExitCode::from(2)
        }
    }
}
