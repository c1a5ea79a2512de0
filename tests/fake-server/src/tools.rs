//! The tools.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::{
    message::{Answer, Request, RpcError, given, notification, set, structured, text},
    odd, output, process, progress, rounds,
    server::Server,
};

/// Name, description, and arguments with their JSON types.
type Tool = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

/// Every tool.
const TOOLS: &[Tool] = &[
    ("echo", "Answers with its arguments.", &[]),
    ("process", "Tells about its process.", &[]),
    ("sleep", "Answers later.", &[("ms", "integer")]),
    (
        "hang",
        "Never answers, or when it is cancelled.",
        &[("late", "boolean")],
    ),
    ("fail", "Fails as a tool.", &[("message", "string")]),
    (
        "error",
        "Fails as a request.",
        &[("code", "integer"), ("message", "string")],
    ),
    ("crash", "Aborts the server.", &[]),
    ("exit", "Ends the server.", &[("code", "integer")]),
    ("close-stdout", "Closes standard output.", &[]),
    ("close-stdin", "Closes standard input.", &[]),
    ("big", "Answers with a long text.", &[("bytes", "integer")]),
    (
        "verbatim",
        "Answers with this text as its result.",
        &[("result", "string")],
    ),
    (
        "line",
        "Writes a long line first.",
        &[("bytes", "integer"), ("end", "boolean")],
    ),
    (
        "stderr",
        "Writes to standard error first.",
        &[("bytes", "integer"), ("end", "boolean")],
    ),
    (
        "flood",
        "Notifies a lot first.",
        &[("count", "integer"), ("bytes", "integer")],
    ),
    (
        "burst",
        "Notifies and answers in one write.",
        &[("count", "integer")],
    ),
    (
        "progress",
        "Reports progress first.",
        &[("steps", "integer"), ("pauseMs", "integer")],
    ),
    (
        "change",
        "Adds tools and announces them.",
        &[("times", "integer")],
    ),
    (
        "ask",
        "Asks the client.",
        &[("method", "string"), ("params", "object")],
    ),
    (
        "rounds",
        "Needs input first.",
        &[("rounds", "integer"), ("ask", "string")],
    ),
    (
        "odd",
        "Answers against the protocol.",
        &[("kind", "string")],
    ),
];

/// The list: the tools, fillers, and those added since the start.
pub(crate) fn list(fillers: usize, added: usize) -> Vec<Value> {
    let own = TOOLS.iter().map(|(name, description, arguments)| {
        let properties: serde_json::Map<String, Value> = arguments
            .iter()
            .map(|(argument, kind)| ((*argument).to_owned(), json!({"type": kind})))
            .collect();
        json!({
            "name": name,
            "description": description,
            "inputSchema": {"type": "object", "properties": properties},
        })
    });
    let fillers = (0..fillers).map(|number| filler(&format!("filler-{number}")));
    let added = (0..added).map(|number| filler(&format!("added-{number}")));
    own.chain(fillers).chain(added).collect()
}

/// A tool that does nothing but exist.
pub(crate) fn filler(name: &str) -> Value {
    json!({"name": name, "description": "Does nothing.", "inputSchema": {"type": "object"}})
}

/// Serves one `tools/call`.
pub(crate) fn call(server: &Arc<Server>, request: Request) {
    let name = request
        .param("name")
        .as_str()
        .unwrap_or_default()
        .to_owned();
    match name.as_str() {
        "sleep" => sleep(server, request),
        "hang" => {
            let late = request.flag("late", false);
            server.wait(request, late);
        }
        "progress" => progress::start(server, request),
        "ask" => ask(server, request),
        "burst" => burst(server, &request),
        "verbatim" => {
            let result = request
                .argument("result")
                .as_str()
                .unwrap_or("{}")
                .to_owned();
            odd::splice(server, &request, &result);
        }
        "odd" => match odd::named(&request) {
            Ok(kind) => odd::reply(server, &request, kind, Ok(text("odd"))),
            Err(error) => server.reply(&request, Err(error)),
        },
        name => {
            let answer = answer(server, &request, name);
            odd::reply(server, &request, server.script.answers, answer);
        }
    }
}

/// The tools that answer at once.
fn answer(server: &Server, request: &Request, name: &str) -> Answer {
    let arguments = request.param("arguments");
    match name {
        "echo" => Ok(structured(arguments.clone())),
        "process" => Ok(structured(process::description())),
        "fail" => {
            let message = request.argument("message").as_str().unwrap_or("it failed");
            let mut result = text(message);
            set(&mut result, "isError", json!(true));
            Ok(result)
        }
        "error" => Err(RpcError {
            code: request.argument("code").as_i64().unwrap_or(-32603),
            message: request
                .argument("message")
                .as_str()
                .unwrap_or("it failed")
                .to_owned(),
            data: arguments.get("data").cloned(),
        }),
        "crash" => std::process::abort(),
        "exit" => {
            let code = request
                .argument("code")
                .as_i64()
                .and_then(|code| i32::try_from(code).ok());
            std::process::exit(code.unwrap_or(0))
        }
        "close-stdout" => Err(failed(&process::close_stdout(&server.script))),
        "close-stdin" => {
            let chatter = request.flag("chatter", false);
            let line = chatter.then(|| log_message(request, 0));
            Err(failed(&process::close_stdin(line.as_deref())))
        }
        "big" => {
            let bytes = usize::try_from(request.number("bytes", 1 << 20)).unwrap_or(usize::MAX);
            Ok(text("x".repeat(bytes)))
        }
        "line" => {
            server.output.filler(request.number("bytes", 1 << 20));
            if request.flag("end", true) {
                server.output.raw(b"\n");
            }
            Ok(text("after the line"))
        }
        "stderr" => {
            for _ in 0..request.number("bytes", 1 << 20).div_ceil(1 << 10) {
                output::stderr(&[b'e'; 1 << 10]);
            }
            if request.flag("end", true) {
                output::stderr(b"\n");
            }
            Ok(text("after standard error"))
        }
        "flood" => {
            for number in 0..request.number("count", 1000) {
                server.output.frame(log_message(request, number));
            }
            Ok(text("after the flood"))
        }
        "change" => {
            for _ in 0..request.number("times", 1) {
                server.change_tools();
            }
            Ok(text("changed"))
        }
        "rounds" if request.modern => rounds::round(request),
        name if exists(server, name) => Ok(text("nothing to do")),
        name => Err(RpcError::new(-32602, format!("unknown tool: {name}"))),
    }
}

fn sleep(server: &Arc<Server>, request: Request) {
    let delay = Duration::from_millis(request.number("ms", 1000));
    let id = request.id.clone();
    server.wait(request, false);
    let later = Arc::clone(server);
    server.timer.after(delay, move || {
        if let Some(request) = later.take(&id) {
            odd::reply(&later, &request, later.script.answers, Ok(text("slept")));
        }
    });
}

fn ask(server: &Arc<Server>, request: Request) {
    let method = request
        .argument("method")
        .as_str()
        .unwrap_or("ping")
        .to_owned();
    let params = given(request.argument("params"))
        .cloned()
        .unwrap_or_else(|| rounds::params(&method));
    if !request.flag("wait", true) {
        server.asks.send(server, &method, params, |_| {});
        return server.reply(&request, Ok(text("asked")));
    }
    let later = Arc::clone(server);
    server
        .asks
        .send(server, &method, params, move |mut answer| {
            if let Value::Object(members) = &mut answer {
                members.remove("id");
                members.remove("jsonrpc");
            }
            later.reply(&request, Ok(structured(answer)));
        });
}

fn burst(server: &Server, request: &Request) {
    let mut frames: Vec<String> = (0..request.number("count", 10))
        .map(|number| log_message(request, number))
        .collect();
    frames.push(
        server
            .response(request, Ok(text("after the burst")))
            .to_string(),
    );
    server.output.frames(&frames);
}

fn log_message(request: &Request, number: u64) -> String {
    let filler = usize::try_from(request.number("bytes", 0)).unwrap_or_default();
    let data = format!("{number} {}", "x".repeat(filler));
    notification(
        "notifications/message",
        json!({"level": "info", "data": data}),
    )
    .to_string()
}

/// Whether it is one of the tools that do nothing, or one that this era has no use for.
fn exists(server: &Server, name: &str) -> bool {
    let number = |prefix: &str| {
        name.strip_prefix(prefix)
            .and_then(|n| n.parse::<usize>().ok())
    };
    number("filler-").is_some_and(|number| number < server.script.tools)
        || number("added-").is_some()
        || number("endless-").is_some()
        || TOOLS.iter().any(|(tool, ..)| *tool == name)
}

fn failed(error: &std::io::Error) -> RpcError {
    RpcError::new(-32603, error.to_string())
}
