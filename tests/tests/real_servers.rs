//! Every real server says through `mcp-fleet` what it says when it is asked directly.

use std::{ffi::OsStr, path::Path, process::Command};

use mcp_fleet_tests::{
    Client, Era, Fleet, Launch, Output, Page, Result, Scratch, example, node, python, write_config,
};
use serde_json::{Value, json};

#[test]
fn everything_lists_and_answers_the_same() -> Result<()> {
    Pair::new("everything", Era::Legacy, |_| node("mcp-server-everything"))?
        .lists_the_same()?
        .calls_the_same("get-structured-content", json!({"location": "New York"}))?
        .calls_the_same("echo", json!({"message": "h\u{e9}llo \u{1f980}\n\u{2028}"}))?
        .examples_call_the_same("get-structured-content", json!({"location": "Chicago"}))?;
    Ok(())
}

#[test]
fn filesystem_lists_and_answers_the_same() -> Result<()> {
    let files = Scratch::new("files")?;
    files.directory("a")?;
    files.file("a/b.txt", "h\u{e9}llo\n")?;
    let allowed = files.path().to_owned();
    let server = move |_: &Path| Ok(node("mcp-server-filesystem")?.arg(&allowed));
    Pair::new("filesystem", Era::Legacy, server)?
        .lists_the_same()?
        .calls_the_same("directory_tree", json!({"path": files.path()}))?
        .calls_the_same(
            "read_text_file",
            json!({"path": files.path().join("a/b.txt")}),
        )?
        .examples_call_the_same("directory_tree", json!({"path": files.path()}))?;
    Ok(())
}

#[test]
fn memory_lists_and_answers_the_same() -> Result<()> {
    let server = |side: &Path| {
        Ok(node("mcp-server-memory")?.env("MEMORY_FILE_PATH", side.join("memory.jsonl")))
    };
    let ada = json!({"name": "Ada", "entityType": "person", "observations": ["counts"]});
    let bob = json!({"name": "Bob", "entityType": "person", "observations": []});
    Pair::new("memory", Era::Legacy, server)?
        .lists_the_same()?
        .prepared_with(&[("create_entities", json!({"entities": [ada]}))])?
        .calls_the_same("create_entities", json!({"entities": [bob]}))?
        .calls_the_same("read_graph", json!({}))?
        .examples_call_the_same("read_graph", json!({}))?;
    Ok(())
}

#[test]
fn sequential_thinking_lists_and_answers_the_same() -> Result<()> {
    let thought = json!({
        "thought": "one",
        "nextThoughtNeeded": true,
        "thoughtNumber": 1,
        "totalThoughts": 3,
    });
    Pair::new("thinking", Era::Legacy, |_| {
        node("mcp-server-sequential-thinking")
    })?
    .lists_the_same()?
    .calls_the_same("sequentialthinking", thought)?;
    Ok(())
}

#[test]
fn sequential_thinking_answers_the_examples_the_same() -> Result<()> {
    // The server counts thoughts in a session, so the examples ask a session that has none.
    let thought = json!({
        "thought": "one",
        "nextThoughtNeeded": false,
        "thoughtNumber": 1,
        "totalThoughts": 1,
    });
    let server = |_: &Path| node("mcp-server-sequential-thinking");
    Pair::new("thinking", Era::Legacy, server)?
        .examples_call_the_same("sequentialthinking", thought)?;
    Ok(())
}

#[test]
fn git_lists_and_answers_the_same() -> Result<()> {
    let repository = Scratch::new("repository")?;
    repository.file("a.txt", "one\n")?;
    for arguments in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &["add", "a.txt"],
        &[
            "-c",
            "user.name=A",
            "-c",
            "user.email=a@example.org",
            "commit",
            "--quiet",
            "-m",
            "one",
        ],
    ] {
        let status = Command::new("git")
            .args(arguments)
            .current_dir(repository.path())
            .status()?;
        assert!(status.success(), "git {arguments:?}");
    }
    let place = json!({"repo_path": repository.path()});
    Pair::new("git", Era::Modern, |_| python("modern", "mcp-server-git"))?
        .lists_the_same()?
        .calls_the_same("git_log", place.clone())?
        .calls_the_same("git_status", place.clone())?
        .examples_call_the_same("git_status", place)?;
    Ok(())
}

#[test]
fn time_lists_and_answers_the_same() -> Result<()> {
    let server =
        |_: &Path| Ok(python("modern", "mcp-server-time")?.args(["--local-timezone", "UTC"]));
    let mut pair = Pair::new("time", Era::Modern, server)?;
    pair.lists_the_same()?;
    let noon = json!({"source_timezone": "Asia/Tokyo", "time": "12:00", "target_timezone": "Asia/Kolkata"});
    // The answer holds today's date: midnight may lie between the two sides, but not twice.
    if pair.calls_the_same("convert_time", noon.clone()).is_err() {
        pair.calls_the_same("convert_time", noon.clone())?;
    }
    pair.examples_call_the_same("convert_time", noon)?;
    Ok(())
}

#[test]
fn fetch_lists_and_answers_the_same() -> Result<()> {
    let page = Page::serve("A page on the loopback: \u{e9} \u{1f980}\n")?;
    let server = |_: &Path| {
        let flags = ["--allow-private-ips", "--ignore-robots-txt"];
        Ok(python("modern", "mcp-server-fetch")?.args(flags))
    };
    Pair::new("fetch", Era::Modern, server)?
        .lists_the_same()?
        .calls_the_same("fetch", json!({"url": page.url("a"), "raw": true}))?
        .examples_call_the_same("fetch", json!({"url": page.url("a"), "raw": true}))?;
    Ok(())
}

#[test]
fn sqlite_lists_and_answers_the_same() -> Result<()> {
    let server = |side: &Path| {
        Ok(python("sqlite", "mcp-server-sqlite")?
            .arg("--db-path")
            .arg(side.join("test.db")))
    };
    Pair::new("sqlite", Era::Legacy, server)?
        .lists_the_same()?
        .prepared_with(&[
            (
                "create_table",
                json!({"query": "CREATE TABLE t (a INTEGER, b TEXT)"}),
            ),
            (
                "write_query",
                json!({"query": "INSERT INTO t VALUES (1, 'one'), (2, NULL)"}),
            ),
        ])?
        .calls_the_same("write_query", json!({"query": "DELETE FROM t WHERE a = 1"}))?
        .calls_the_same("read_query", json!({"query": "SELECT * FROM t"}))?
        .examples_call_the_same("read_query", json!({"query": "SELECT * FROM t"}))?;
    Ok(())
}

#[test]
fn the_official_sdk_lists_and_answers_the_same() -> Result<()> {
    let server = |_: &Path| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/modern_server.py");
        Ok(python("modern", "python")?.arg(script))
    };
    Pair::new("sdk", Era::Modern, server)?
        .lists_the_same()?
        .calls_the_same("divide", json!({"a": 7, "b": 2}))?
        .calls_the_same("divide", json!({"a": 7, "b": 0}))?
        .calls_the_same("count", json!({"to": 3, "pause_ms": 1}))?
        .examples_call_the_same("divide", json!({"a": 9, "b": 4}))?;
    Ok(())
}

/// One server twice: asked directly, and through `mcp-fleet`, each with a state of its own.
struct Pair {
    name: &'static str,
    era: Era,
    /// One session serves all that a test asks directly.
    direct: Client,
    fleet: Launch,
    scratch: Scratch,
}

impl Pair {
    /// `launch` gets the directory in which its side may keep state.
    fn new(name: &'static str, era: Era, launch: impl Fn(&Path) -> Result<Launch>) -> Result<Self> {
        let scratch = Scratch::new(name)?;
        let direct = Client::start(&launch(&scratch.directory("direct")?)?, era)?;
        let fleet = launch(&scratch.directory("fleet")?)?;
        Ok(Self {
            name,
            era,
            direct,
            fleet,
            scratch,
        })
    }

    /// Makes these calls on both sides, directly.
    fn prepared_with(&mut self, calls: &[(&str, Value)]) -> Result<&mut Self> {
        let mut other = Client::start(&self.fleet, self.era)?;
        for (tool, arguments) in calls {
            self.direct.call(tool, arguments.clone())?;
            other.call(tool, arguments.clone())?;
        }
        other.close()?;
        Ok(self)
    }

    fn lists_the_same(&mut self) -> Result<&mut Self> {
        let tools = self.direct.list("tools/list", "tools")?;
        assert!(!tools.is_empty());
        let listed = self.run("tools", &["--server", self.name])?.json(0)?;
        assert_eq!(listed, json!({self.name: tools}));
        Ok(self)
    }

    fn calls_the_same(&mut self, tool: &str, arguments: Value) -> Result<&mut Self> {
        let direct = self.direct.call(tool, arguments.clone())?;
        let failed = direct.get("isError") == Some(&Value::Bool(true));
        let output = self.run("call", &[self.name, tool, &arguments.to_string()])?;
        let through_fleet = output.json(i32::from(failed))?;
        if through_fleet != direct {
            return Err(format!("{tool}: {through_fleet} is not {direct}").into());
        }
        Ok(self)
    }

    /// Makes a call that changes nothing from the example programs of both runtimes.
    fn examples_call_the_same(&mut self, tool: &str, arguments: Value) -> Result<&mut Self> {
        let direct = self.direct.call(tool, arguments.clone())?;
        let config = write_config(&self.scratch, &[(self.name, &self.fleet)], &json!({}))?;
        for name in ["tokio_call", "smol_call"] {
            let output = Command::new(example(name)?)
                .arg(&config)
                .args([self.name, tool, &arguments.to_string()])
                .output()?;
            assert!(output.status.success(), "{name} {tool}: {output:?}");
            let said: Value = serde_json::from_slice(&output.stdout)?;
            assert_eq!(said, direct, "{name} {tool}");
        }
        Ok(self)
    }

    /// Runs `mcp-fleet VERB FILE WORDS... --json`.
    fn run(&self, verb: &str, words: &[&str]) -> Result<Output> {
        let config = write_config(&self.scratch, &[(self.name, &self.fleet)], &json!({}))?;
        let mut arguments: Vec<&OsStr> = vec![verb.as_ref(), config.as_os_str()];
        arguments.extend(words.iter().map(OsStr::new));
        arguments.push("--json".as_ref());
        Fleet::run(arguments)
    }
}
