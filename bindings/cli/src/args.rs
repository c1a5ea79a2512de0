//! What can be said on the command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, builder::styling};
use clap_complete::Shell;

const STYLES: styling::Styles = styling::Styles::styled()
    .header(styling::AnsiColor::Green.on_default().bold())
    .usage(styling::AnsiColor::Green.on_default().bold())
    .literal(styling::AnsiColor::Cyan.on_default().bold())
    .placeholder(styling::AnsiColor::Cyan.on_default())
    .error(styling::AnsiColor::Red.on_default().bold())
    .valid(styling::AnsiColor::Green.on_default())
    .invalid(styling::AnsiColor::Yellow.on_default());

const AFTER_HELP: &str = "\
Examples:
  mcp-fleet                     Show what a fleet does, with three servers of its own
  mcp-fleet check .mcp.json     Validate a file, start nothing
  mcp-fleet tools .mcp.json     List the tools of all servers
  mcp-fleet call .mcp.json files read_text_file '{\"path\": \"notes.txt\"}'
  mcp-fleet replay bug.journal  Show what a fleet was told and did, step by step

Exit codes:
  0    Success
  1    The tool or its server answered with an error, or a journal is replayed otherwise
  2    The command line or the configuration is wrong
  3    A server is unavailable
  4    A deadline passed
  129  Hung up (SIGHUP), unless that is ignored as under `nohup`
  130  Interrupted (SIGINT)
  143  Terminated (SIGTERM)

The first Ctrl-C, SIGTERM or SIGHUP lets servers finish and stops them; the second kills them at once.
Data goes to standard output, everything else to standard error.";

/// Run and use MCP servers, with the `mcpServers` file you already have.
#[derive(Parser, Debug)]
#[command(
    name = "mcp-fleet",
    version,
    styles = STYLES,
    after_help = AFTER_HELP,
    max_term_width = 100,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) global: Global,
}

/// Options of every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// How much to log on standard error
    #[arg(
        long,
        value_name = "LEVEL",
        value_enum,
        default_value_t = LogLevel::Warn,
        env = "MCP_FLEET_LOG_LEVEL",
        hide_env_values = true,
        global = true
    )]
    pub(crate) log_level: LogLevel,

    /// Record every input of the fleet in this file, for a bug report and `mcp-fleet replay`
    ///
    /// An existing journal is replaced; any other file that is not empty is left as it is. Only its
    /// owner can read the file.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) journal: Option<PathBuf>,

    /// What to leave out of the journal; it is replayed the same
    ///
    /// Commands, arguments and working directories of servers, names of servers and tools, methods,
    /// names of members, times and lengths stay in any case. Secrets of fewer than 6 bytes (8 where
    /// all are digits), and such as were hashed, encrypted or otherwise changed beyond JSON escapes,
    /// percent-encoding and base64, are not found in what servers say.
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        default_value_t = Redact::Payloads,
        global = true
    )]
    pub(crate) journal_redact: Redact,

    /// How long the journal may grow: `64MiB`, `500k`, `1G`
    ///
    /// Half of it is for the beginning, which can be replayed. When that is full, the newest turns
    /// go to FILE.tail and FILE.tail.1, which can be shown but not replayed.
    #[arg(
        long,
        value_name = "SIZE",
        value_parser = size,
        default_value = "128MiB",
        global = true
    )]
    pub(crate) journal_max: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Redact {
    /// The file is for its owner alone
    Nothing,
    /// Values of `env` and `headers`, of variables in the file, and addresses behind their host,
    /// wherever they are said
    Secrets,
    /// These, and what callers and servers say: arguments, results, questions, logs, standard
    /// error
    Payloads,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Deploy three built-in servers and call them all at once (default)
    Demo,
    /// Validate a configuration file and start nothing
    Check(CheckArgs),
    /// Start the servers of a file and list them
    Servers(ListArgs),
    /// Start the servers of a file and list their tools
    Tools(ToolsArgs),
    /// Call one tool of one server
    Call(CallArgs),
    /// Tell a fleet its journal again, and show every step
    Replay(ReplayArgs),
    /// Print a completion script
    Completions(CompletionsArgs),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mcp-fleet check .mcp.json
  mcp-fleet check .vscode/mcp.json

Prints every error and warning with line, column and key. Exits with 2 if there are errors.")]
pub(crate) struct CheckArgs {
    /// File with `mcpServers` (or VS Code's `servers`); comments are allowed
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mcp-fleet servers .mcp.json
  mcp-fleet servers .mcp.json --json | jq '.[] | {name, state, revision}'

Exits with 3 if a server could not be started; the others are listed all the same.")]
pub(crate) struct ListArgs {
    /// File with `mcpServers` (or VS Code's `servers`); comments are allowed
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mcp-fleet tools .mcp.json
  mcp-fleet tools .mcp.json --server files
  mcp-fleet tools .mcp.json --json | jq '.files[].inputSchema'

With --json: an object with one array for each server, the tools in it as the server gave them.
Exits with 3 if a server could not be started; the tools of the others are listed all the same.")]
pub(crate) struct ToolsArgs {
    /// File with `mcpServers` (or VS Code's `servers`); comments are allowed
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Start and list this server only (repeatable)
    #[arg(long, value_name = "NAME")]
    pub(crate) server: Vec<String>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mcp-fleet call .mcp.json files list_directory '{\"path\": \".\"}'
  mcp-fleet call .mcp.json memory create_entities @entities.json
  jq -n '{timezone: \"UTC\"}' | mcp-fleet call .mcp.json time get_current_time - --json

Only the server that is called is started. Text is printed as it is; images and other content in
one line each. Exits with 1 if the tool reports an error.")]
pub(crate) struct CallArgs {
    /// File with `mcpServers` (or VS Code's `servers`); comments are allowed
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Name of the server in the file
    #[arg(value_name = "SERVER")]
    pub(crate) server: String,

    /// Name of the tool, as `mcp-fleet tools` lists it
    #[arg(value_name = "TOOL")]
    pub(crate) tool: String,

    /// Arguments: a JSON object, `@file` to read it from a file, or `-` from standard input
    #[arg(value_name = "JSON", allow_hyphen_values = true)]
    pub(crate) arguments: Option<String>,

    /// Print the whole `CallToolResult` as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Give up after this long, the start of the server included: `30`, `30s`, `500ms`, `2m`, `1h`
    ///
    /// A number alone is of seconds. Where absent, the server's `startTimeoutMs` and `timeoutMs`
    /// hold, and every report of progress starts the latter anew, up to `timeoutMaxMs`.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mcp-fleet --journal bug.journal call .mcp.json files read_text_file '{\"path\": \"x\"}'
  mcp-fleet replay bug.journal
  mcp-fleet replay bug.journal --until 120            Stop after step 120, show the servers
  mcp-fleet replay bug.journal --from 9s --until 12s --server files
  mcp-fleet replay bug.journal --verify

Each step is one input of the fleet, then `>` what it wanted done and `*` what it told. Nothing is
started. Exits with 1 if the fleet wants other things done than it did.")]
pub(crate) struct ReplayArgs {
    /// File that `--journal` wrote
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Show from this step or time on: `120`, `12.5s`, `300ms`, `2m`
    #[arg(long, value_name = "POINT", value_parser = point)]
    pub(crate) from: Option<Point>,

    /// Stop after this step, or at this time since the beginning
    #[arg(long, value_name = "POINT", value_parser = point)]
    pub(crate) until: Option<Point>,

    /// Show the steps of this server only
    #[arg(long, value_name = "NAME")]
    pub(crate) server: Option<String>,

    /// Print JSON, one line a step, nothing shortened
    #[arg(long)]
    pub(crate) json: bool,

    /// Only say whether the fleet does the same again
    #[arg(long, conflicts_with_all = ["from", "server", "json"])]
    pub(crate) verify: bool,
}

/// A place in a journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Point {
    Step(u64),
    /// Since the beginning.
    At(Duration),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mcp-fleet completions bash > ~/.local/share/bash-completion/completions/mcp-fleet
  mcp-fleet completions zsh > \"${fpath[1]}/_mcp-fleet\"
  mcp-fleet completions fish > ~/.config/fish/completions/mcp-fleet.fish")]
pub(crate) struct CompletionsArgs {
    /// Shell to write for
    #[arg(value_name = "SHELL", value_enum)]
    pub(crate) shell: Shell,
}

/// A server of the demo, on standard input and output
///
/// Only the program itself starts it, so it is no [`Command`] that a completion could offer.
#[derive(Parser, Debug)]
pub(crate) struct DemoServerArgs {
    /// How long every call takes, in milliseconds
    #[arg(long, default_value_t = 0)]
    pub(crate) delay_ms: u64,
}

/// Seconds, or a number with its unit.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a number of seconds, or one such as `500ms`, `30s`, `2m`".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match text.get(digits.len()..).unwrap_or_default() {
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    match Duration::try_from_secs_f64(number * scale) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        Ok(_) => Err("must be more than 0".to_owned()),
        Err(_) => Err(wrong()),
    }
}

/// The number of a step, or a time with its unit.
fn point(text: &str) -> Result<Point, String> {
    if let Ok(step) = text.parse() {
        return Ok(Point::Step(step));
    }
    if !text.ends_with(|c: char| c.is_ascii_alphabetic()) {
        return Err("expected a step such as `120`, or a time such as `12.5s`".to_owned());
    }
    duration(text).map(Point::At)
}

/// The least that holds more than a header.
const SIZE_MIN: u64 = 64 << 10;

/// Bytes, or a number with its unit.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || "expected a number of bytes, or one such as `500k`, `64MiB`, `1G`".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default();
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    match number.checked_mul(1 << shift) {
        Some(bytes) if bytes >= SIZE_MIN => Ok(bytes),
        Some(_) => Err("must be 64 KiB at least".to_owned()),
        None => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn timeouts_are_positive_and_in_seconds_unless_they_say_otherwise() {
        for (text, millis) in [
            ("1.5", 1500),
            ("30s", 30_000),
            ("500ms", 500),
            ("2m", 120_000),
            ("0.5h", 1_800_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for wrong in [
            "0", "0ms", "-1", "-1s", "NaN", "inf", "1e300", "soon", "", "s", "5d", "5S", "5 s",
            "1m30s",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_and_points_have_units() {
        for (text, bytes) in [
            ("65536", 65536),
            ("64k", 65536),
            ("2MiB", 2 << 20),
            ("1G", 1 << 30),
            ("100kB", 102_400),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in [
            "",
            "0",
            "63k",
            "k",
            "1T",
            "-1",
            "1.5M",
            "99999999999999999999",
        ] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert_eq!(point("120"), Ok(Point::Step(120)));
        assert_eq!(point("12.5s"), Ok(Point::At(Duration::from_millis(12_500))));
        for wrong in ["", "1.5", "-1", "soon", "0s"] {
            assert!(point(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn arguments_may_begin_with_a_hyphen() {
        let line = ["mcp-fleet", "call", "f", "s", "t", "-", "--json"];
        let Some(Command::Call(call)) = Cli::parse_from(line).command else {
            panic!("no call")
        };
        assert_eq!(call.arguments.as_deref(), Some("-"));
        assert!(call.json);
    }
}
