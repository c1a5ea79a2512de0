//! `mcp-fleet call`: one call of one tool.

use std::{
    future::pending,
    time::{Duration, Instant},
};

use futures::future::join;
use mcp_fleet_core::{
    CallError, CallOptions, CommandError, Failure, RawJson,
    config::{FleetConfig, ServerConfig},
};
use mcp_fleet_driver::{ExecuteError, ManageError};
use tokio::select;

use crate::{
    args::{CallArgs, Global},
    arguments,
    content::ToolResult,
    exit::{self, Exit, Problem},
    file::{self, Brought},
    host::Host,
    output,
    progress::ProgressLine,
    signals::Signals,
};

/// What is known of a call before anything is started.
#[derive(Debug)]
pub(crate) struct Prepared {
    config: FleetConfig,
    secrets: Vec<String>,
    server: ServerConfig,
    /// Those that it comes after.
    needed: Vec<ServerConfig>,
    arguments: Option<RawJson>,
}

/// Reads the file and the arguments. May wait for standard input, so that it is done before
/// signals are listened to.
///
/// # Errors
/// What is wrong with either.
pub(crate) fn prepare(args: &CallArgs) -> Result<Prepared, Problem> {
    let Brought {
        mut config,
        secrets,
    } = file::load(&args.file, std::slice::from_ref(&args.server))?;
    let server = file::take(&mut config, &args.file, &args.server)?;
    let needed = file::take_needed(&mut config, std::slice::from_ref(&server));
    config.servers.clear();
    let arguments = args.arguments.as_deref().map(arguments::read).transpose()?;
    Ok(Prepared {
        config,
        secrets,
        server,
        needed,
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
        secrets,
        server,
        needed,
        arguments,
    } = prepared;
    let host = Host::new(config, secrets, global)?;
    host.run(signals, call(&host, server, needed, args, arguments))
        .await
}

async fn call(
    host: &Host,
    server: ServerConfig,
    needed: Vec<ServerConfig>,
    args: &CallArgs,
    arguments: Option<RawJson>,
) -> Result<Exit, Problem> {
    let begun = Instant::now();
    let server = bounded(server, args.timeout);
    let needed = needed
        .into_iter()
        .map(|server| bounded(server, args.timeout));
    let (outcome, ()) = join(host.deploy(server), host.deploy_needed(needed)).await;
    outcome.map_err(|error| of_start(&error, args.timeout))?;
    let deadline = args.timeout.and_then(|timeout| begun.checked_add(timeout));
    let outcome = answer(host, args, arguments, deadline).await;
    let result = match outcome {
        Ok(result) => result,
        Err(error @ ExecuteError::Call(CallError::Rpc(_))) => {
            let problem = exit::of_execute(&error);
            return Err(match hint_of_tool(host, args, deadline).await {
                Some(hint) => problem.hint(hint),
                None => problem,
            });
        }
        Err(error) => return Err(exit::of_execute(&error)),
    };
    let read = ToolResult::read(&result);
    if args.json {
        output::print_raw(&format!("{result}\n"))?;
    }
    let read = read.map_err(|error| {
        let message = format!("{:?} answered with no tool result: {error}", args.server);
        Problem::new(Exit::Unavailable, message)
    })?;
    if !args.json {
        output::print_raw(&read.render(output::is_terminal()))?;
    }
    if !read.is_error {
        return Ok(Exit::Success);
    }
    if let Some(hint) = hint_of_tool(host, args, deadline).await {
        Problem::say_hint(&hint);
    }
    Ok(Exit::ToolError)
}

/// Calls the tool and shows its progress, which starts the deadline of the server's configuration
/// anew, but never the caller's own.
async fn answer(
    host: &Host,
    args: &CallArgs,
    arguments: Option<RawJson>,
    deadline: Option<Instant>,
) -> Result<RawJson, ExecuteError> {
    let options = CallOptions {
        timeout: deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()))
            .or(args.timeout),
        progress: true,
        ..CallOptions::default()
    };
    let mut call = host.start_call(&args.server, &args.tool, arguments, options);
    let mut reports = call.progress();
    let mut line = ProgressLine::default();
    let mut late = false;
    loop {
        select! {
            // No flood of reports holds up the deadline, and none that came before the result is
            // lost to it.
            biased;
            () = until(deadline), if !late => {
                late = true;
                call.cancel(Some("the deadline passed".to_owned()));
            }
            Some(report) = reports.next() => line.show(&report),
            outcome = &mut call => return outcome.map_err(|error| match (error, args.timeout) {
                (
                    ExecuteError::Call(CallError::TimedOut { sent, .. }),
                    Some(after),
                ) => CallError::TimedOut { after, sent }.into(),
                (
                    ExecuteError::Call(CallError::Cancelled { sent }),
                    Some(after),
                ) if late => CallError::TimedOut { after, sent }.into(),
                (error, _) => error,
            }),
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => pending().await,
    }
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

/// What to do, where the tool that was asked for is none of the server's.
async fn hint_of_tool(host: &Host, args: &CallArgs, deadline: Option<Instant>) -> Option<String> {
    let tools = select! {
        tools = host.tools(&args.server) => tools.ok()?,
        () = until(deadline) => return None,
    };
    let names: Vec<String> = tools.iter().filter_map(crate::tools::name).collect();
    if names.contains(&args.tool) {
        return None;
    }
    Some(match file::nearest(&args.tool, &names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "`mcp-fleet tools {} --server {}` lists its tools",
            args.file.display(),
            args.server
        ),
    })
}
