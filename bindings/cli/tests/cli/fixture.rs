//! Files for the program, and what it said.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_mcp-fleet");

const TOOL_SERVER: &str = r#"
say() { printf '{"jsonrpc":"2.0",%s}\n' "$1"; }
while read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
  token=$(printf '%s' "$line" | sed -n 's/.*"progressToken":\([0-9]*\|"[^"]*"\).*/\1/p')
  [ -z "$id" ] && continue
  case $line in
    *'"method":"initialize"'*)
      say '"id":'$id',"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}' ;;
    *'"method":"tools/list"'*)
      say '"id":'$id',"result":{"tools":[{"name":"t","inputSchema":{"type":"object"}}]}' ;;
    *'"method":"tools/call"'*)
      CALL ;;
    *)
      say '"id":'$id',"error":{"code":-32601,"message":"no"}' ;;
  esac
done
"#;

/// A directory of its own for one test, removed in the end.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("mcp-fleet-cli-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// With `fleet.json`, which has these members below `mcpServers`.
    pub(crate) fn with_servers(servers: &str) -> Self {
        let place = Self::new();
        place.write(
            "fleet.json",
            &format!("{{ \"mcpServers\": {{ {servers} }} }}"),
        );
        place
    }

    /// With `fleet.json`, which has one server `s` with one tool `t`, and `more` members. `call` is
    /// what its shell does when it is called: `$id` is that of the request, `$token` that for its
    /// progress, and `say` writes a message.
    pub(crate) fn with_tool(more: &str, call: &str) -> Self {
        let place = Self::with_servers(&format!(
            r#""s": {{ "command": "sh", "args": ["server.sh"] {more} }}"#
        ));
        place.write("server.sh", &TOOL_SERVER.replace("CALL", call));
        place
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(args).current_dir(&self.0).stdin(Stdio::null());
        command
            .env_remove("MCP_FLEET_LOG_LEVEL")
            .env_remove("COLUMNS");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Said {
        self.command(args).output().unwrap().into()
    }

    pub(crate) fn run_with_input(&self, args: &[&str], input: &str) -> Said {
        let mut command = self.command(args);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap().into()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Said {
    #[track_caller]
    pub(crate) fn ended(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn complains(&self, words: &str) -> &Self {
        assert!(self.err.contains(words), "no {words:?} in {self:?}");
        self
    }
}

/// A server of the demo as a member of `mcpServers`.
pub(crate) fn words(name: &str, delay_ms: u64) -> String {
    format!(
        "{name:?}: {{ \"command\": {PROGRAM:?}, \"args\": [\"__demo-server\", \"--delay-ms={delay_ms}\"] }}"
    )
}

/// A shell script as a member of `mcpServers`.
pub(crate) fn script(name: &str, script: &str) -> String {
    format!("{name:?}: {{ \"command\": \"sh\", \"args\": [\"-c\", {script:?}] }}")
}
