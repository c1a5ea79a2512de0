//! A run of `mcp-fleet up`, and what it tells.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::fixture::{PROGRAM, Place};

/// Nothing takes this long, however busy the machine is.
const DEADLINE: Duration = Duration::from_secs(60);

/// A run with `--json`, killed where a test fails.
pub(crate) struct Supervised {
    pub(crate) place: Place,
    child: Child,
    told: Receiver<Value>,
    stderr: ChildStderr,
    /// All that was told so far, for a test that fails.
    heard: Vec<Value>,
}

impl Supervised {
    /// Supervises `fleet.json` of the place.
    pub(crate) fn of(place: Place) -> Self {
        Self::with(place, &[])
    }

    pub(crate) fn with(place: Place, options: &[&str]) -> Self {
        let mut args = vec!["up", "fleet.json", "--json"];
        args.extend(options);
        let mut child = place
            .command(&args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines() {
                let line = line.unwrap();
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if tell.send(value).is_err() {
                    // The reader leaves, and its end of the pipe with it.
                    return;
                }
            }
        });
        let stderr = child.stderr.take().unwrap();
        Self {
            place,
            child,
            told,
            stderr,
            heard: Vec::new(),
        }
    }

    /// Waits for an event that was not waited for before.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(value) = self.told.recv_timeout(left) else {
                panic!("no {what} in\n{}", self.story());
            };
            assert!(value["time"].is_string(), "{value}");
            self.heard.push(value.clone());
            if wanted(&value) {
                return value;
            }
        }
    }

    /// Waits for an event that may have been passed by.
    #[track_caller]
    pub(crate) fn sometime(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) {
        if !self.heard.iter().any(&wanted) {
            self.until(what, wanted);
        }
    }

    #[track_caller]
    pub(crate) fn until_event(&mut self, name: &str) -> Value {
        self.until(name, |told| told["event"] == name)
    }

    #[track_caller]
    pub(crate) fn until_state(&mut self, server: &str, state: &str) -> Value {
        self.until(&format!("{state} {server}"), |told| {
            told["event"] == "state" && told["server"] == server && told["state"] == state
        })
    }

    /// Waits until all these servers are ready, in whatever order.
    #[track_caller]
    pub(crate) fn until_ready(&mut self, servers: &[&str]) {
        for server in servers {
            self.sometime(&format!("ready {server}"), |told| {
                told["event"] == "state" && told["server"] == *server && told["state"] == "ready"
            });
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &command]).status();
        assert!(status.unwrap().success());
    }

    /// Leaves standard output to nobody, once the next line was read.
    pub(crate) fn stop_reading(&mut self) {
        let (_, nothing) = mpsc::channel();
        self.told = nothing;
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for the end: the exit code, all that was told, and standard error.
    #[track_caller]
    pub(crate) fn end(&mut self) -> (Option<i32>, Vec<Value>, String) {
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "no end of\n{}", self.story());
            thread::sleep(Duration::from_millis(2));
        };
        self.heard.extend(self.told.iter());
        let mut stderr = String::new();
        self.stderr.read_to_string(&mut stderr).unwrap();
        (status.code(), std::mem::take(&mut self.heard), stderr)
    }

    fn story(&self) -> String {
        let lines: Vec<String> = self.heard.iter().map(Value::to_string).collect();
        lines.join("\n")
    }

    /// The processes of a [`tracked`] server, oldest first. Waits until there are so many.
    #[track_caller]
    pub(crate) fn pids(&self, server: &str, count: usize) -> Vec<u32> {
        let path = self.place.path().join(format!("{server}.pids"));
        let mut pids = Vec::new();
        sooner_or_later(&format!("{count} processes of {server}"), || {
            let text = fs::read_to_string(&path).unwrap_or_default();
            pids = text.lines().map(|pid| pid.parse().unwrap()).collect();
            pids.len() >= count
        });
        pids
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A server of the demo that notes the id of each of its processes, as a member of `mcpServers`.
/// `more` are further members of it.
pub(crate) fn tracked(name: &str, more: &str) -> String {
    noted(name, &format!("exec {PROGRAM} __demo-server"), more)
}

/// A server that never says a word.
pub(crate) fn mute(name: &str, more: &str) -> String {
    noted(name, "exec sleep 3600", more)
}

/// A shell script that notes the id of each of its processes.
pub(crate) fn noted(name: &str, script: &str, more: &str) -> String {
    let script = format!("echo $$ >> {name}.pids; {script}");
    format!("{name:?}: {{ \"command\": \"sh\", \"args\": [\"-c\", {script:?}] {more} }}")
}

/// The text of a file with these members of `mcpServers`.
pub(crate) fn file_of(servers: &[String]) -> String {
    format!("{{ \"mcpServers\": {{\n{}\n}} }}", servers.join(",\n"))
}

/// Whether a process runs. One that has ended and that nobody asked after yet does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    // The state comes after the name, which may hold anything.
    stat.is_ok_and(|stat| {
        let state = stat
            .rsplit_once(") ")
            .map(|(_, rest)| rest.starts_with('Z'));
        state == Some(false)
    })
}

/// Waits until processes are gone.
#[track_caller]
pub(crate) fn gone(pids: &[u32]) {
    sooner_or_later("end of the processes", || {
        !pids.iter().any(|pid| is_alive(*pid))
    });
}

/// Waits until something holds that nothing tells of.
#[track_caller]
pub(crate) fn sooner_or_later(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "no {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
