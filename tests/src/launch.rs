//! How to start a server.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::{Result, binary};

/// The variables that a server gets beside those of its own, as in the product.
const INHERITED: &[&str] = &["PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER", "SHELL"];

/// A command, as a configuration file has it.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    command: String,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    directory: Option<PathBuf>,
}

impl Launch {
    /// This program without arguments.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            command: text(program),
            ..Self::default()
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(text(argument));
        self
    }

    /// Adds arguments.
    pub fn args(self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.insert(name.to_owned(), text(value));
        self
    }

    /// Sets the working directory.
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// The same command through `sh -c`, in a way that keeps the shell alive beside it.
    pub fn through_shell(mut self) -> Self {
        let script = r#""$0" "$@"; status=$?; exit $status"#;
        let mut arguments = vec!["-c".to_owned(), script.to_owned(), self.command];
        arguments.append(&mut self.arguments);
        Self {
            command: "sh".to_owned(),
            arguments,
            ..self
        }
    }

    /// The entry of a configuration file.
    pub fn entry(&self) -> Value {
        let mut entry = json!({
            "command": self.command,
            "args": self.arguments,
            "env": self.environment,
        });
        if let (Value::Object(members), Some(directory)) = (&mut entry, &self.directory) {
            members.insert("cwd".to_owned(), json!(directory));
        }
        entry
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.command);
        command.args(&self.arguments).env_clear();
        command.envs(
            INHERITED
                .iter()
                .filter_map(|name| Some((name, env::var_os(name)?))),
        );
        command.envs(&self.environment);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }
}

/// A server of the npm packages, by the name of its program.
///
/// # Errors
/// Where the packages are not installed.
pub fn node(program: &str) -> Result<Launch> {
    Ok(Launch::new(installed(
        &node_modules()?.join(".bin").join(program),
    )?))
}

/// The directory of the npm packages.
///
/// # Errors
/// Where the packages are not installed.
pub fn node_modules() -> Result<PathBuf> {
    installed(&binary::servers()?.join("node").join("node_modules"))
}

/// A program of one of the virtual environments, `modern` or `sqlite`.
///
/// # Errors
/// Where the environment is not there.
pub fn python(environment: &str, program: &str) -> Result<Launch> {
    let path = binary::servers()?
        .join(environment)
        .join("bin")
        .join(program);
    Ok(Launch::new(installed(&path)?))
}

fn installed(path: &Path) -> Result<PathBuf> {
    if path.exists() {
        return Ok(path.to_owned());
    }
    Err(format!(
        "{} is missing: run `tests/run servers` first",
        path.display()
    )
    .into())
}

/// Paths of tests are text; anything else is replaced, and then not found.
fn text(value: impl AsRef<OsStr>) -> String {
    value.as_ref().to_string_lossy().into_owned()
}
