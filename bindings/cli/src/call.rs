//! `mcp-fleet call`: one call of one tool.

use std::time::{Duration, Instant};

use mcp_fleet_core::{
    CallError, CommandError, Failure, RawJson,
    config::{FleetConfig, ServerConfig},
};
use mcp_fleet_driver::{ExecuteError, ManageError};

use crate::{
    args::{CallArgs, Global},
    arguments,
    content::ToolResult,
    exit::{self, Exit, Problem},
    file,
    host::Host,
    output,
    signals::Signals,
};

/// What is known of a call before anything is started.
#[derive(Debug)]
pub(crate) struct Prepared {
    config: FleetConfig,
    server: ServerConfig,
    arguments: Option<RawJson>,
}

/// Reads the file and the arguments. May wait for standard input, so that it is done before
/// signals are listened to.
///
/// # Errors
/// What is wrong with either.
pub(crate) fn prepare(args: &CallArgs) -> Result<Prepared, Problem> {
    let mut config = file::load(&args.file, std::slice::from_ref(&args.server))?;
    let server = file::take(&mut config, &args.file, &args.server)?;
    config.servers.clear();
    let arguments = args.arguments.as_deref().map(arguments::read).transpose()?;
    Ok(Prepared {
        config,
        server,
        arguments,
    })
}

pub(crate) async fn run(
    prepared: Prepared,
    args: &CallArgs,
    global: &Global,
    signals: &mut Signals,
) -> Result<Exit, Problem> {
    let Prepared {
        config,
        server,
        arguments,
    } = prepared;
    let host = Host::new(config, global)?;
    host.run(signals, call(&host, server, args, arguments))
        .await
}

async fn call(
    host: &Host,
    server: ServerConfig,
    args: &CallArgs,
    arguments: Option<RawJson>,
) -> Result<Exit, Problem> {
    let begun = Instant::now();
    let server = bounded(server, args.timeout);
    host.deploy(server)
        .await
        .map_err(|error| of_start(&error, args.timeout))?;
    let left = args
        .timeout
        .map(|timeout| timeout.saturating_sub(begun.elapsed()));
    let outcome = host
        .execute(&args.server, &args.tool, arguments, left)
        .await;
    let result = match outcome {
        Ok(result) => result,
        Err(ExecuteError::Call(CallError::TimedOut { after, sent })) => {
            let after = args.timeout.unwrap_or(after);
            return Err(exit::of_execute(
                &CallError::TimedOut { after, sent }.into(),
            ));
        }
        Err(error) => return Err(explained(host, args, &error).await),
    };
    let read = ToolResult::read(&result);
    if args.json {
        output::print_raw(&format!("{result}\n"))?;
    }
    let read = read.map_err(|error| {
        let message = format!("{} answered with no tool result: {error}", args.server);
        Problem::new(Exit::Unavailable, message)
    })?;
    if !args.json {
        output::print_raw(&read.render(output::is_terminal()))?;
    }
    Ok(if read.is_error {
        Exit::ToolError
    } else {
        Exit::Success
    })
}

/// The start counts against the time that the caller gives.
fn bounded(mut server: ServerConfig, timeout: Option<Duration>) -> ServerConfig {
    if let Some(timeout) = timeout {
        let limits = &mut server.limits;
        limits.start_timeout = limits.start_timeout.min(timeout);
        limits.probe_timeout = limits.probe_timeout.min(limits.start_timeout);
        limits.timeout_max = limits.timeout_max.max(timeout);
    }
    server
}

fn of_start(error: &ManageError, timeout: Option<Duration>) -> Problem {
    let problem = exit::of_manage(error);
    match (error, timeout) {
        (
            ManageError::Command(CommandError::Failed {
                failure: Failure::StartTimedOut { after, .. },
                ..
            }),
            Some(given),
        ) if *after == given => problem.hint("allow more time with `--timeout DURATION`"),
        (_, _) => problem,
    }
}

/// Says which tools there are, where the one that was asked for is none of them.
async fn explained(host: &Host, args: &CallArgs, error: &ExecuteError) -> Problem {
    let problem = exit::of_execute(error);
    if !matches!(error, ExecuteError::Call(CallError::Rpc(_))) {
        return problem;
    }
    let Ok(tools) = host.tools(&args.server).await else {
        return problem;
    };
    let names: Vec<String> = tools.iter().filter_map(crate::tools::name).collect();
    if names.contains(&args.tool) {
        return problem;
    }
    match file::nearest(&args.tool, &names) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint(format!(
            "`mcp-fleet tools {} --server {}` lists its tools",
            args.file.display(),
            args.server
        )),
    }
}
