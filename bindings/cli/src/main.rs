//! Run and use MCP servers from the command line.
#![forbid(unsafe_code)]

mod args;
mod arguments;
mod call;
mod check;
mod content;
mod demo;
mod exit;
mod file;
mod host;
mod journal;
mod output;
mod progress;
mod replay;
mod servers;
mod signals;
mod tools;

use std::{process::ExitCode, time::Duration};

use clap::{CommandFactory, Parser};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::{
    args::{Cli, Command, DemoServerArgs, LogLevel},
    exit::{Exit, Problem},
    signals::Signals,
};

fn main() -> ExitCode {
    let outcome = if std::env::args_os()
        .nth(1)
        .is_some_and(|name| name == demo::SERVER)
    {
        log(LogLevel::Warn);
        serve_demo(&DemoServerArgs::parse_from(std::env::args_os().skip(1)))
    } else {
        let cli = Cli::parse();
        log(cli.global.log_level);
        run(cli)
    };
    outcome
        .unwrap_or_else(|problem| {
            problem.report();
            problem.exit
        })
        .into()
}

fn run(cli: Cli) -> Result<Exit, Problem> {
    let Cli { command, global } = cli;
    match command.unwrap_or(Command::Demo) {
        Command::Check(args) => check::run(&args),
        Command::Completions(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "mcp-fleet", &mut script);
            output::print_raw(&String::from_utf8_lossy(&script))?;
            Ok(Exit::Success)
        }
        Command::Replay(args) => replay::run(&args),
        Command::Demo => block_on(async { demo::run(&global, &mut Signals::listen()?).await }),
        Command::Servers(args) => {
            block_on(async { servers::run(&args, &global, &mut Signals::listen()?).await })
        }
        Command::Tools(args) => {
            block_on(async { tools::run(&args, &global, &mut Signals::listen()?).await })
        }
        Command::Call(args) => {
            let prepared = call::prepare(&args)?;
            block_on(async { call::run(prepared, &args, &global, &mut Signals::listen()?).await })
        }
    }
}

fn serve_demo(args: &DemoServerArgs) -> Result<Exit, Problem> {
    block_on(async {
        demo::servers::serve_words(Duration::from_millis(args.delay_ms)).await;
        Ok(Exit::Success)
    })
}

fn block_on(work: impl Future<Output = Result<Exit, Problem>>) -> Result<Exit, Problem> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| {
            Problem::new(Exit::Unavailable, format!("cannot start threads: {error}"))
        })?;
    let outcome = runtime.block_on(work);
    // A thread that still reads standard input must not hold up the end.
    runtime.shutdown_background();
    outcome
}

/// Logs of the fleet at `level` to standard error, those of its libraries from warnings on.
fn log(level: LogLevel) {
    let level = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let targets = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("mcp_fleet", level);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(anstream::stderr)
        .with_target(false);
    tracing_subscriber::registry()
        .with(targets)
        .with(lines)
        .init();
}
