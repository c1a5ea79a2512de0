//! The product and the fake server at the two ends of a pipe.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{Fleet, Launch, Output, Result, Scratch, fake_server, write_config};

/// A fake server, its record, and the configuration that names it `fake`.
#[derive(Debug)]
pub struct Bench {
    scratch: Scratch,
    launch: Launch,
    extras: Value,
}

impl Bench {
    /// With this script for the server; see `fake-server --help`.
    ///
    /// # Errors
    /// Where the fake server is not built.
    pub fn new(script: &Value) -> Result<Self> {
        let scratch = Scratch::new("protocol")?;
        let launch = Launch::new(fake_server()?)
            .args(["--script", &script.to_string(), "--record"])
            .arg(scratch.path().join("record.jsonl"))
            .env("DECLARED", "yes")
            .directory(scratch.path());
        Ok(Self {
            scratch,
            launch,
            extras: json!({"probeTimeoutMs": 500}),
        })
    }

    /// The same with this setting beside `command`.
    pub fn with(mut self, setting: &str, value: Value) -> Self {
        if let Value::Object(extras) = &mut self.extras {
            extras.insert(setting.to_owned(), value);
        }
        self
    }

    /// The working directory of the server.
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// Runs `mcp-fleet call FILE fake TOOL ARGUMENTS --json`.
    ///
    /// # Errors
    /// Where it does not start, or does not end.
    pub fn call(&self, tool: &str, arguments: &Value) -> Result<Output> {
        self.run("call", &["fake", tool, &arguments.to_string()])
    }

    /// Runs `mcp-fleet VERB FILE WORDS... --json`.
    ///
    /// # Errors
    /// Where it does not start, or does not end.
    pub fn run(&self, verb: &str, words: &[&str]) -> Result<Output> {
        let config: PathBuf = write_config(&self.scratch, &[("fake", &self.launch)], &self.extras)?;
        let mut arguments: Vec<&OsStr> = vec![verb.as_ref(), config.as_os_str()];
        arguments.extend(words.iter().map(OsStr::new));
        arguments.push("--json".as_ref());
        Fleet::run(arguments)
    }

    /// All that the server saw, in order.
    ///
    /// # Errors
    /// Where it saw nothing, not even its own start.
    pub fn record(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(self.scratch.path().join("record.jsonl"))?;
        let lines: std::result::Result<_, _> = text.lines().map(serde_json::from_str).collect();
        Ok(lines?)
    }

    /// The messages that the server received; anything else it received is an error.
    ///
    /// # Errors
    /// As [`Self::record`]; also where something is no message.
    pub fn frames(&self) -> Result<Vec<Value>> {
        let record = self
            .record()?
            .into_iter()
            .filter(|line| line != "start" && line != "eof");
        record
            .map(|line| {
                if line.is_object() {
                    Ok(line)
                } else {
                    Err(format!("{line}").into())
                }
            })
            .collect()
    }

    /// The requests among the messages.
    ///
    /// # Errors
    /// As [`Self::frames`].
    pub fn requests(&self) -> Result<Vec<Value>> {
        let mut frames = self.frames()?;
        frames.retain(|frame| frame.get("id").is_some() && frame.get("method").is_some());
        Ok(frames)
    }

    /// The methods of requests and notifications.
    ///
    /// # Errors
    /// As [`Self::frames`].
    pub fn methods(&self) -> Result<Vec<String>> {
        let frames = self.frames()?;
        let methods = frames
            .iter()
            .filter_map(|frame| frame.get("method")?.as_str());
        Ok(methods.map(str::to_owned).collect())
    }

    /// How many messages have this method.
    ///
    /// # Errors
    /// As [`Self::frames`].
    pub fn count(&self, method: &str) -> Result<usize> {
        Ok(self
            .methods()?
            .iter()
            .filter(|sent| *sent == method)
            .count())
    }
}
