//! `mcp-fleet demo`: three servers, called all at once.

pub(crate) mod servers;
mod tally;

use std::{
    cell::Cell,
    fmt::Write as _,
    io::{self, IsTerminal},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mcp_fleet_core::{
    CallOptions, RawJson, ServerInfo, ServerName,
    config::{FleetConfig, Kind, ServerConfig, Stdio},
};
use mcp_fleet_driver::ExecuteError;

use self::{servers::Sums, tally::Tally};
use crate::{
    args::Global,
    exit::{self, Exit, Problem},
    host::Host,
    output::{
        self, span, style,
        table::{Table, terminal_width},
    },
    signals::Signals,
};

/// The first argument by which this program is a server of the demo.
pub(crate) const SERVER: &str = "__demo-server";
/// How long the slow server takes over every call.
const SLOW_DELAY: Duration = Duration::from_millis(1000);
/// How long the quick servers are called without it.
const ALONE: Duration = Duration::from_millis(1000);
/// Calls to the slow server, all in flight together.
const SLOW_CALLS: u64 = 64;
/// Calls in flight to each quick server.
const QUICK_IN_FLIGHT: u64 = 8;

/// A server of the demo, by what it is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Player {
    /// A child process.
    Words,
    /// In this process.
    Sums,
    /// A child process that takes its time.
    Slow,
}

impl Player {
    const fn name(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::Sums => "sums",
            Self::Slow => "slow",
        }
    }

    const fn tool(self) -> &'static str {
        match self {
            Self::Words | Self::Slow => "count_words",
            Self::Sums => "add",
        }
    }

    /// Arguments of the `number`th call, and the answer to it.
    fn question(self, number: u64) -> (String, String) {
        match self {
            Self::Words | Self::Slow => {
                let words = number % 10 + 1;
                let text = "word ".repeat(usize::try_from(words).unwrap_or(1));
                (
                    format!("{{\"text\":\"{}\"}}", text.trim_end()),
                    format!("{{\"words\":{words}}}"),
                )
            }
            Self::Sums => {
                let numbers = format!("{{\"numbers\":[{number},0.5]}}");
                (numbers, format!("{{\"sum\":{number}.5}}"))
            }
        }
    }
}

pub(crate) async fn run(global: &Global, signals: &mut Signals) -> Result<Exit, Problem> {
    let words = config(Player::Words, Duration::ZERO)?;
    let slow = config(Player::Slow, SLOW_DELAY)?;
    let host = Host::new(FleetConfig::default(), Vec::new(), global)?;
    host.run(signals, Box::pin(play(&host, words, slow))).await
}

async fn play(host: &Host, words: ServerConfig, slow: ServerConfig) -> Result<Exit, Problem> {
    let begun = Instant::now();
    let sums = host.deploy_in_process(Player::Sums.name(), Arc::new(Sums));
    futures::try_join!(host.deploy(words), sums, host.deploy(slow))
        .map_err(|error| exit::of_manage(&error))?;
    let good = style::GOOD;
    output::note(&format!(
        "{good}ready{good:#}: 3 servers in {}",
        span(begun.elapsed())
    ));

    let stage = Stage {
        host,
        calls: Cell::new(0),
        bar: progress_bar(),
    };
    let alone = stage
        .round("two quick servers", tokio::time::sleep(ALONE))
        .await;
    let slow = join_all((0..SLOW_CALLS).map(|number| stage.ask(Player::Slow, number)));
    let beside = stage.round("the same two beside a slow one", slow).await;
    stage.bar.finish_and_clear();

    let servers = host
        .servers()
        .await
        .map_err(|error| exit::of_manage(&error))?;
    let mut slow = Tally::default();
    beside.ended.into_iter().for_each(|tally| slow.add(tally));
    let scores = [
        Score {
            player: Player::Words,
            alone: alone.words,
            beside: beside.words,
        },
        Score {
            player: Player::Sums,
            alone: alone.sums,
            beside: beside.sums,
        },
        Score {
            player: Player::Slow,
            alone: Tally::default(),
            beside: slow,
        },
    ];
    output::print(&report(&servers, &scores, begun.elapsed())?)?;
    let failure = scores.iter().find_map(|score| {
        let failure = score
            .beside
            .failure
            .as_ref()
            .or(score.alone.failure.as_ref())?;
        Some(Problem::new(
            Exit::Unavailable,
            format!("{}: {failure}", score.player.name()),
        ))
    });
    failure.map_or(Ok(Exit::Success), Err)
}

/// What every call needs.
struct Stage<'a> {
    host: &'a Host,
    calls: Cell<u64>,
    bar: ProgressBar,
}

/// What came of a round.
struct Round<T> {
    words: Tally,
    sums: Tally,
    ended: T,
}

/// What came of a server in both rounds.
struct Score {
    player: Player,
    alone: Tally,
    beside: Tally,
}

impl Stage<'_> {
    /// Keeps the quick servers busy until `end`.
    async fn round<T>(&self, title: &'static str, end: impl Future<Output = T>) -> Round<T> {
        self.bar.set_message(title);
        let over = Cell::new(false);
        let end = async {
            let ended = end.await;
            over.set(true);
            ended
        };
        let (words, sums, ended, ()) = futures::join!(
            self.keep_asking(Player::Words, &over),
            self.keep_asking(Player::Sums, &over),
            end,
            self.show(&over),
        );
        Round { words, sums, ended }
    }

    async fn keep_asking(&self, player: Player, over: &Cell<bool>) -> Tally {
        let caller = |first| async move {
            let mut tally = Tally::default();
            let mut number = first;
            while !over.get() && tally.failure.is_none() {
                tally.add(self.ask(player, number).await);
                number += QUICK_IN_FLIGHT;
            }
            tally
        };
        let mut all = Tally::default();
        join_all((0..QUICK_IN_FLIGHT).map(caller))
            .await
            .into_iter()
            .for_each(|t| all.add(t));
        all
    }

    async fn ask(&self, player: Player, number: u64) -> Tally {
        let (arguments, expected) = player.question(number);
        let begun = Instant::now();
        let outcome = match RawJson::parse(arguments) {
            Ok(arguments) => {
                self.host
                    .start_call(
                        player.name(),
                        player.tool(),
                        Some(arguments),
                        CallOptions::default(),
                    )
                    .await
            }
            Err(error) => Err(ExecuteError::Arguments {
                message: error.to_string(),
            }),
        };
        self.calls.set(self.calls.get() + 1);
        Tally::of(begun.elapsed(), outcome, &expected)
    }

    /// Moves the bar, ten times a second.
    async fn show(&self, over: &Cell<bool>) {
        let begun = Instant::now();
        let offset = self.bar.position();
        while !over.get() {
            let elapsed = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.bar.set_position(offset + elapsed);
            self.bar.set_prefix(format!("{} calls", self.calls.get()));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn report(servers: &[ServerInfo], scores: &[Score], elapsed: Duration) -> Result<String, Problem> {
    let mut table = Table::new(&[
        "SERVER",
        "KIND",
        "STATE",
        ">CALLS",
        ">FAILED",
        ">P50",
        ">P99",
        ">P99 WITHOUT SLOW",
    ]);
    let mut calls = 0;
    for Score {
        player,
        alone,
        beside,
    } in scores
    {
        let server = servers
            .iter()
            .find(|server| server.name.as_str() == player.name());
        let (kind, state) = server.map_or_else(
            || ("-".to_owned(), "gone".to_owned()),
            |server| (server.kind.clone(), server.state.to_string()),
        );
        calls += alone.calls() + beside.calls();
        let shown = |latency: Option<Duration>| latency.map_or_else(|| "-".to_owned(), span);
        table.row([
            player.name().to_owned(),
            kind,
            state,
            (alone.calls() + beside.calls()).to_string(),
            (alone.failed + beside.failed).to_string(),
            shown(beside.percentile(50)),
            shown(beside.percentile(99)),
            shown(alone.percentile(99)),
        ]);
    }
    let quick = scores.iter().filter(|score| score.player != Player::Slow);
    let slowest = quick.filter_map(|score| score.beside.percentile(99)).max();
    let strong = style::STRONG;
    let mut text = table.render(terminal_width());
    writeln!(
        text,
        "\n{strong}{calls} calls in {}{strong:#}: while `slow` took {} over every call, \
         99 of 100 calls of the others took {} or less",
        span(elapsed),
        span(SLOW_DELAY),
        span(slowest.unwrap_or_default()),
    )
    .map_err(Problem::usage)?;
    Ok(text)
}

fn progress_bar() -> ProgressBar {
    let target = if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(20)
    } else {
        ProgressDrawTarget::hidden()
    };
    let length = (ALONE + SLOW_DELAY).as_millis();
    let bar = ProgressBar::with_draw_target(u64::try_from(length).ok(), target);
    let style = ProgressStyle::with_template("{bar:32.cyan/dim} {prefix:>14.bold}  {msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

/// This program as a server.
fn config(player: Player, delay: Duration) -> Result<ServerConfig, Problem> {
    let program = std::env::current_exe().map_err(|error| {
        Problem::new(
            Exit::Unavailable,
            format!("cannot find this program's own file: {error}"),
        )
    })?;
    let Some(command) = program.to_str() else {
        let message = "this program's own path is not UTF-8";
        return Err(Problem::new(Exit::Unavailable, message).hint("move the program elsewhere"));
    };
    let delay = format!("--delay-ms={}", delay.as_millis());
    let args = vec![SERVER.to_owned(), delay];
    let stdio = Stdio {
        command: command.to_owned(),
        args,
        ..Stdio::default()
    };
    let name = ServerName::new(player.name()).map_err(Problem::usage)?;
    Ok(ServerConfig::new(name, Kind::Stdio(stdio)))
}
