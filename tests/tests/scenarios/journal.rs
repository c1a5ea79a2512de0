//! A busy fleet's journal, told to the machine again.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, join_all, ready},
};
use libtest_mimic::{Failed, Trial};
use mcp_fleet_core::{
    CallOptions, Fleet, Implementation, RpcError, ServerName,
    config::{FleetConfig, Kind, ServerConfig, Stdio},
    journal::{Line, Mark, Redaction, replay},
};
use mcp_fleet_driver::{
    AsyncRuntime, InProcessServer, JOURNAL_QUEUE_MAX, Journal, McpManagerV2, RuntimeOptions, Tool,
    ToolCall, ToolOutput,
};
use mcp_fleet_smol::Smol;
use mcp_fleet_tokio::Tokio;
use serde_json::json;

use crate::{
    recording::Recording,
    stages::{one_thread, two_workers},
    world::World,
};

/// A busy fleet leaves no two journals alike, so there is nothing to compare but each with itself.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("journal::a_busy_fleet_replays_on_tokio", || {
            two_workers().block_on(async { busy(Tokio::current()?).await })
        }),
        Trial::test("journal::a_busy_fleet_replays_on_one_thread", || {
            one_thread().block_on(async { busy(Tokio::current()?).await })
        }),
        Trial::test("journal::a_busy_fleet_replays_on_smol", || {
            smol::block_on(busy(Smol))
        }),
        Trial::test("journal::secrets_are_left_out_on_tokio", || {
            one_thread().block_on(async { secrets(Tokio::current()?).await })
        }),
        Trial::test("journal::secrets_are_left_out_on_smol", || {
            smol::block_on(secrets(Smol))
        }),
        Trial::test("journal::a_blocked_sink_holds_up_nobody_on_tokio", || {
            one_thread().block_on(async { blocked(Tokio::current()?).await })
        }),
        Trial::test("journal::a_blocked_sink_holds_up_nobody_on_smol", || {
            smol::block_on(blocked(Smol))
        }),
        Trial::test("journal::a_full_journal_ends_and_its_tail_goes_on", || {
            one_thread().block_on(async { full(Tokio::current()?).await })
        }),
        Trial::test("journal::a_sink_that_fails_ends_the_journal_alone", || {
            one_thread().block_on(async { broken(Tokio::current()?).await })
        }),
    ]
}

const TOKEN: &str = "sk-live-0123/456\"789";

/// Says its token in results and on standard error, in pieces that it writes one by one, in several
/// forms.
const TELLTALE: &str = r#"
escaped='sk-live-0123/456\"789'
slow() {
  text=$1
  while [ -n "$text" ]; do
    rest=${text#?????}
    [ "$rest" = "$text" ] && rest=
    printf '%s' "${text%"$rest"}" >&"$2"
    sleep 0.01
    text=$rest
  done
  printf '\n' >&"$2"
}
while read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
  [ -z "$id" ] && continue
  case $line in
    *'"method":"initialize"'*)
      slow '{"jsonrpc":"2.0","id":'$id',"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"'"$escaped"'","version":"1"}}}' 1 ;;
    *'"method":"tools/call"'*)
      slow "the token is $TOKEN" 2
      slow 'mur''mur with '"$TOKEN" 1
      slow '{"jsonrpc":"2.0","id":'$id',"result":{"content":[{"type":"text","text":"it is '"$escaped"', '"$(printf '%s' "$TOKEN" | base64)"'"}]}}' 1 ;;
    *)
      printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no %s"}}\n' "$id" "$escaped" ;;
  esac
done
"#;

struct Echo;

impl InProcessServer for Echo {
    fn implementation(&self) -> Implementation {
        Implementation {
            name: "echo".to_owned(),
            version: "1".to_owned(),
            title: None,
        }
    }

    fn tools(&self) -> Vec<Tool> {
        vec![Tool::new("echo")]
    }

    fn call_tool<'a>(&'a self, _call: ToolCall) -> BoxFuture<'a, Result<ToolOutput, RpcError>> {
        ready(Ok(ToolOutput::text("hello"))).boxed()
    }
}

fn options(journal: Journal) -> RuntimeOptions {
    RuntimeOptions {
        seed: Some(7),
        journal: Some(journal),
        ..RuntimeOptions::default()
    }
}

/// A server that tells its secret, recorded at each level. The caller tells it too.
async fn secrets<R: AsyncRuntime>(runtime: R) -> Result<(), Failed> {
    for level in [Redaction::Secrets, Redaction::Payloads] {
        let recording = Recording::default();
        let journal = Journal::new(recording.clone())
            .redaction(level)
            .patience(Duration::from_secs(60));
        let config = FleetConfig::default();
        let manager = McpManagerV2::on(runtime.clone(), config, options(journal));
        let stdio = Stdio {
            command: "sh".to_owned(),
            args: vec!["-c".to_owned(), TELLTALE.to_owned(), TOKEN.to_owned()],
            env: [("TOKEN".to_owned(), TOKEN.to_owned())].into(),
            cwd: None,
        };
        let name = ServerName::new("telltale").unwrap();
        let server = ServerConfig::new(name, Kind::Stdio(stdio));
        manager.deploy_server(server).await?;
        for _ in 0..3 {
            let result = manager
                .execute_tool("telltale", "tell", json!({"about": TOKEN}))
                .await?;
            assert!(result.text().contains(TOKEN), "{result:?}");
        }
        manager.shutdown().await?;
        let text = recording.text();
        for known in ["sk-live", "0123/456", "6\\\"789", "c2stbGl2ZS0wMTIz"] {
            assert!(!text.contains(known), "{level:?}: {known} in {text}");
        }
        assert!(
            text.contains("<secret 1>") && text.contains("*******"),
            "{text}"
        );
        assert_eq!(text.contains("murmu"), level == Redaction::Secrets);
        assert!(recording.replay() > 20);
    }
    Ok(())
}

/// A sink that takes nothing until it is let.
#[derive(Clone, Default)]
struct Gate {
    recording: Recording,
    open: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    fn open(&self) {
        *self.open.0.lock().unwrap() = true;
        self.open.1.notify_all();
    }
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (open, opened) = &*self.open;
        let open = open.lock().unwrap_or_else(PoisonError::into_inner);
        let _open = opened
            .wait_while(open, |open| !*open)
            .unwrap_or_else(PoisonError::into_inner);
        self.recording.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The fleet works and shuts down while nothing can be written, and the journal says what it lacks.
async fn blocked<R: AsyncRuntime>(runtime: R) -> Result<(), Failed> {
    let gate = Gate::default();
    let journal = Journal::new(gate.clone()).patience(Duration::from_secs(1));
    let manager = McpManagerV2::on(runtime.clone(), FleetConfig::default(), options(journal));
    manager.deploy_in_process("echo", Echo).await?;
    // Each call is three turns at least.
    let calls = JOURNAL_QUEUE_MAX / 3 + 500;
    let mut answered = 0;
    while answered < calls {
        let some = (0..50).map(|n| manager.execute_tool("echo", "echo", json!({"n": n})));
        for outcome in join_all(some).await {
            outcome?;
            answered += 1;
        }
    }
    manager.shutdown().await?;
    assert_eq!(gate.recording.text(), "");
    gate.open();
    // What is missing is said at the end.
    while !gate.recording.text().contains("{\"mark\":") {
        runtime
            .sleep_until(runtime.now() + Duration::from_millis(5))
            .await;
    }
    let (turns, mark) = replay_beginning(&gate.recording.text());
    assert!((1000..=JOURNAL_QUEUE_MAX + 200).contains(&turns), "{turns}");
    let Some(Mark::Gap { turns: missing }) = mark else {
        panic!("no gap: {mark:?}");
    };
    assert!(missing > 400, "{missing}");
    Ok(())
}

/// What a part of the tail holds.
type Tails = Arc<Mutex<Vec<Recording>>>;

async fn full<R: AsyncRuntime>(runtime: R) -> Result<(), Failed> {
    const LIMIT: u64 = 200_000;
    let beginning = Recording::default();
    let tails = Tails::default();
    let kept = Arc::clone(&tails);
    let journal = Journal::new(beginning.clone())
        .bytes_max(LIMIT)
        .tail(move || {
            let part = Recording::default();
            kept.lock().unwrap().push(part.clone());
            Ok(part)
        });
    let manager = McpManagerV2::on(runtime.clone(), FleetConfig::default(), options(journal));
    manager.deploy_in_process("echo", Echo).await?;
    for number in 0..400 {
        manager
            .execute_tool("echo", "echo", json!({"n": number}))
            .await?;
    }
    manager.shutdown().await?;
    let text = beginning.text();
    assert!(
        text.len() as u64 <= LIMIT / 2 && text.len() as u64 > LIMIT / 3,
        "{}",
        text.len()
    );
    let (turns, mark) = replay_beginning(&text);
    let bytes = LIMIT / 2;
    assert_eq!(mark, Some(Mark::Full { bytes, tail: true }));
    let tails = tails.lock().unwrap();
    assert!(tails.len() > 2, "{}", tails.len());
    let mut next = turns as u64 + 1;
    for tail in tails.iter() {
        let text = tail.text();
        assert!(text.len() as u64 <= LIMIT / 4, "{}", text.len());
        for (place, line) in text.lines().enumerate() {
            match Line::parse(line).unwrap() {
                Line::Mark(Mark::Continues { turn }) if place == 0 => assert_eq!(turn, next),
                Line::Entry(_) if place > 0 => next += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(tails.last().unwrap().text().contains("shutdown"));
    Ok(())
}

/// A disk that is full after a while.
struct Brittle(usize);

impl Write for Brittle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self
            .0
            .checked_sub(bytes.len())
            .ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn broken<R: AsyncRuntime>(runtime: R) -> Result<(), Failed> {
    for room in [0, 10_000] {
        let journal = Journal::new(Brittle(room));
        let config = FleetConfig::default();
        let manager = McpManagerV2::on(runtime.clone(), config, options(journal));
        manager.deploy_in_process("echo", Echo).await?;
        for number in 0..100 {
            manager
                .execute_tool("echo", "echo", json!({"n": number}))
                .await?;
        }
        manager.shutdown().await?;
    }
    Ok(())
}

/// Tells a fleet again what there is up to the first mark.
fn replay_beginning(text: &str) -> (usize, Option<Mark>) {
    let mut lines = text.lines().map(|line| Line::parse(line).unwrap());
    let Some(Line::Header(header)) = lines.next() else {
        panic!("no header");
    };
    let mut fleet = Fleet::new(header.config, header.seed);
    let mut turns = 0;
    for line in lines {
        match line {
            Line::Entry(entry) => {
                assert_eq!(replay(&mut fleet, &entry).0, entry.effects, "turn {turns}");
                turns += 1;
            }
            Line::Mark(mark) => return (turns, Some(mark)),
            Line::Header(_) => panic!("a second header"),
        }
    }
    (turns, None)
}

/// Many calls of all kinds at once, while servers crash, restart and change.
async fn busy<R: AsyncRuntime>(runtime: R) -> Result<(), Failed> {
    let mut world = World::new(runtime);
    let flags = ["--split-bytes", "7", "--noise-lines", "1", "--late-answers"];
    for (name, era) in [
        ("modern", "modern"),
        ("legacy", "legacy"),
        ("frail", "dual"),
    ] {
        let flags: Vec<&str> = flags.into_iter().chain(["--era", era]).collect();
        let config = world.limited(name, &flags, |limits| {
            limits.in_flight = 8;
            limits.queue = 24;
            limits.refresh_interval = Duration::from_millis(5);
        });
        world.deploy(config).await;
    }
    let manager = world.manager.clone();
    for round in 0..6_u64 {
        let mut calls = Vec::new();
        for number in 0..40_u64 {
            let server = ["modern", "legacy", "frail"][(number % 3) as usize];
            let (tool, arguments) = match number % 8 {
                0 => ("sleep", json!({"ms": number})),
                1 => ("progress", json!({"steps": 5, "pauseMs": 1})),
                2 => ("change", json!({"times": 3})),
                3 => ("fail", json!({"message": "\u{e9}\u{1f44b}\\\""})),
                4 => ("odd", json!({"kind": "invalid-utf8"})),
                5 => ("hang", json!({"late": true})),
                _ => ("echo", json!({"round": round, "number": number})),
            };
            let options = CallOptions {
                timeout: Some(Duration::from_millis(50 + number)),
                progress: true,
                ..CallOptions::default()
            };
            let mut call = world.start_with(server, tool, arguments, options);
            match number % 11 {
                9 => drop(call),
                10 => {
                    call.cancel(Some("enough".to_owned()));
                    calls.push(call);
                }
                _ => calls.push(call),
            }
        }
        if round == 3 {
            calls.push(world.start("frail", "crash", json!({})));
        }
        let all = world.patiently("all calls", join_all(calls)).await;
        assert!(all.iter().any(Result::is_ok), "{all:?}");
        // Whatever they answer: the journal is what counts.
        drop(manager.health_check(None).await);
        if round == 4 {
            manager.restart_server("frail").await?;
            manager.restart_server("legacy").await?;
        }
    }
    let turns = world.finish_busy().await;
    assert!(turns > 500, "{turns} turns are not busy");
    Ok(())
}
