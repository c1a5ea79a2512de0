//! A reference client: as little as it takes to call a server, on plain threads and pipes.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{Launch, PATIENCE, Result};

/// By which rules the client speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Era {
    /// `initialize` of 2025-11-25.
    Legacy,
    /// The envelope of 2026-07-28 on every request.
    Modern,
}

/// An error that a server answered with, as it stood in the answer.
#[derive(Clone, PartialEq, Debug)]
pub struct RpcError(pub Value);

impl std::fmt::Display for RpcError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the server answered with the error {}", self.0)
    }
}

impl std::error::Error for RpcError {}

/// A session with one server.
#[derive(Debug)]
pub struct Client {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Vec<u8>>,
    era: Era,
    capabilities: Value,
    id: u64,
    notifications: VecDeque<Value>,
    greeting: Value,
}

impl Client {
    /// Starts a server and opens a session without capabilities.
    ///
    /// # Errors
    /// Where the server does not start, or refuses.
    pub fn start(launch: &Launch, era: Era) -> Result<Self> {
        Self::start_with(launch, era, json!({}))
    }

    /// Starts a server and opens a session with these capabilities of the client.
    ///
    /// # Errors
    /// Where the server does not start, or refuses.
    pub fn start_with(launch: &Launch, era: Era, capabilities: Value) -> Result<Self> {
        let mut command = launch.command();
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command
            .spawn()
            .map_err(|error| format!("{launch:?}: {error}"))?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let mut client = Self {
            stdin: child.stdin.take(),
            child,
            lines: read(stdout),
            era,
            capabilities,
            id: 0,
            notifications: VecDeque::new(),
            greeting: Value::Null,
        };
        client.greeting = client.open()?;
        Ok(client)
    }

    /// The result of `initialize` or `server/discover`.
    pub fn greeting(&self) -> &Value {
        &self.greeting
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// [`RpcError`] where the server answers with one; another where it does not answer.
    pub fn request(&mut self, method: &str, params: Value) -> Result<Value> {
        let id = self.send(method, params)?;
        self.answer(&id)
    }

    /// Asks, and does not wait; [`Self::answer`] does.
    ///
    /// # Errors
    /// Where the server cannot be written to.
    pub fn send(&mut self, method: &str, mut params: Value) -> Result<Value> {
        self.id += 1;
        if let (Era::Modern, Value::Object(members)) = (self.era, &mut params) {
            let meta = members.entry("_meta").or_insert_with(|| json!({}));
            if let (Value::Object(meta), Value::Object(envelope)) = (meta, self.envelope()) {
                meta.extend(envelope);
            }
        }
        let id = json!(self.id);
        self.write(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))?;
        Ok(id)
    }

    /// Tells the server something.
    ///
    /// # Errors
    /// Where the server cannot be written to.
    pub fn notify(&mut self, method: &str, params: Value) -> Result<()> {
        self.write(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
    }

    /// Waits for the answer to a request that was sent. Answers to others are dropped.
    ///
    /// # Errors
    /// [`RpcError`] where the server answers with one; another where it does not answer.
    pub fn answer(&mut self, id: &Value) -> Result<Value> {
        loop {
            let message = self.receive()?;
            if message.get("method").is_none() && message.get("id") == Some(id) {
                return match (message.get("result"), message.get("error")) {
                    (Some(result), None) => Ok(result.clone()),
                    (None, Some(error)) => Err(RpcError(error.clone()).into()),
                    _ => Err(format!("neither result nor error: {message}").into()),
                };
            }
        }
    }

    /// Waits for the next message of the server, whatever it is. Requests of the server are
    /// refused and notifications kept on the way.
    ///
    /// # Errors
    /// Where the server's output ends, or nothing comes in time.
    pub fn receive(&mut self) -> Result<Value> {
        let line = self.lines.recv_timeout(PATIENCE).map_err(|error| {
            format!(
                "the server said nothing more after request {}: {error}",
                self.id
            )
        })?;
        let message: Value = serde_json::from_slice(&line)?;
        match (message.get("method"), message.get("id")) {
            (Some(method), Some(id)) if method == "ping" => {
                self.write(&json!({"jsonrpc": "2.0", "id": id, "result": {}}))?;
            }
            (Some(_), Some(id)) => {
                let error = json!({"code": -32601, "message": "not offered"});
                self.write(&json!({"jsonrpc": "2.0", "id": id, "error": error}))?;
            }
            (Some(_), None) => self.notifications.push_back(message.clone()),
            (None, _) => {}
        }
        Ok(message)
    }

    /// The notifications that came on the way to answers, oldest first.
    pub fn notifications(&mut self) -> Vec<Value> {
        self.notifications.drain(..).collect()
    }

    /// All entries of a list, from all its pages.
    ///
    /// # Errors
    /// As [`Self::request`]; also where the pages have no end.
    pub fn list(&mut self, method: &str, member: &str) -> Result<Vec<Value>> {
        let mut entries = Vec::new();
        let mut params = json!({});
        for _ in 0..1000 {
            let page = self.request(method, params)?;
            let list = page.get(member).and_then(Value::as_array);
            entries.extend_from_slice(list.ok_or_else(|| format!("no {member} in {page}"))?);
            match page.get("nextCursor") {
                Some(cursor) => params = json!({"cursor": cursor}),
                None => return Ok(entries),
            }
        }
        Err(format!("{method} has no end").into())
    }

    /// Calls a tool: the whole result.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub fn call(&mut self, tool: &str, arguments: Value) -> Result<Value> {
        self.request("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    /// Closes the server's standard input and waits for its end.
    ///
    /// # Errors
    /// Where the server does not end.
    pub fn close(mut self) -> Result<ExitStatus> {
        drop(self.stdin.take());
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err("the server outlived its standard input".into())
    }

    fn open(&mut self) -> Result<Value> {
        match self.era {
            Era::Modern => self.request("server/discover", json!({})),
            Era::Legacy => {
                let greeting = self.request(
                    "initialize",
                    json!({
                        "protocolVersion": "2025-11-25",
                        "capabilities": self.capabilities,
                        "clientInfo": {"name": "reference", "version": "1"},
                    }),
                )?;
                self.notify("notifications/initialized", json!({}))?;
                Ok(greeting)
            }
        }
    }

    fn envelope(&self) -> Value {
        json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": self.capabilities,
            "io.modelcontextprotocol/clientInfo": {"name": "reference", "version": "1"},
        })
    }

    fn write(&mut self, message: &Value) -> Result<()> {
        let stdin = self.stdin.as_mut().ok_or("standard input is closed")?;
        stdin.write_all(format!("{message}\n").as_bytes())?;
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It has ended already, or a test has failed and wants no survivors.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Lines of the server that are not blank, as they come.
fn read(stdout: ChildStdout) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n') {
            let Ok(line) = line else { return };
            if !line.trim_ascii().is_empty() && sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
