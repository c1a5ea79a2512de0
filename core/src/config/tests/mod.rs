//! The reading of files, rule by rule.

mod corpus;
mod fleet;
mod messages;
mod order;
mod servers;

use super::*;

fn environment(name: &str) -> Option<String> {
    let value = match name {
        "HOME" => "/home/ann",
        "TOKEN" => "s3cret",
        "EMPTY" => "",
        "BROKEN" => "a\nb",
        _ => return None,
    };
    Some(value.to_owned())
}

fn load(text: &str) -> Result<Loaded, ConfigErrors> {
    read("mcp.json", text, &environment)
}

/// The fleet of a text that has nothing wrong with it.
fn fleet(text: &str) -> FleetConfig {
    match load(text) {
        Ok(loaded) => {
            assert_eq!(shown(&loaded.warnings), [""; 0]);
            loaded.config
        }
        Err(problems) => panic!("{problems}"),
    }
}

/// The one server `s` of a body that has nothing wrong with it.
fn server(body: &str) -> ServerConfig {
    fleet(&one(body)).servers.remove(0)
}

/// The errors of a file.
fn errors(text: &str) -> Vec<String> {
    let problems = load(text).expect_err("the file must be refused");
    assert_eq!(shown(&problems.warnings), [""; 0]);
    shown(&problems.errors)
}

/// The warnings of a file that can be used.
fn warnings(text: &str) -> Vec<String> {
    match load(text) {
        Ok(loaded) => shown(&loaded.warnings),
        Err(problems) => panic!("{problems}"),
    }
}

/// A file of one server, whose body begins in column 1 of line 2.
fn one(body: &str) -> String {
    format!("{{ \"mcpServers\": {{ \"s\":\n{body} }} }}")
}

fn shown(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(Problem::to_string).collect()
}
