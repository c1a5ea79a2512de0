//! Lists and their pages.

use serde_json::{Value, json};

use crate::{
    message::{Answer, Request, RpcError, given, set},
    script::{Cursors, Script},
    tools,
};

/// One of the lists; `None` where the method lists nothing.
///
/// `added` is how many tools were added since the start.
pub(crate) fn list(script: &Script, added: usize, request: &Request) -> Option<Answer> {
    let (capability, member) = match request.method.as_str() {
        "tools/list" => ("tools", "tools"),
        "resources/list" => ("resources", "resources"),
        "resources/templates/list" => ("resources", "resourceTemplates"),
        "prompts/list" => ("prompts", "prompts"),
        _ => return None,
    };
    if !script
        .capabilities
        .iter()
        .any(|offered| offered == capability)
    {
        return Some(Err(RpcError::unknown_method(&request.method)));
    }
    if let Some(code) = script.list_error {
        return Some(Err(RpcError::new(code, "the script answers no list")));
    }
    let entries = match member {
        "tools" => tools::list(script.tools, added),
        "resources" => (0..script.resources).map(resource).collect(),
        "resourceTemplates" => vec![template()],
        _ => vec![prompt()],
    };
    Some(page(script, member, &entries, request))
}

/// `resources/read`, `prompts/get` and `completion/complete`; `None` for another method.
pub(crate) fn read(script: &Script, request: &Request) -> Option<Answer> {
    let uri = request.param("uri").as_str().unwrap_or_default();
    let answer = match request.method.as_str() {
        "resources/read" if known(script, uri) => Ok(cacheable(
            request,
            json!({"contents": [{"uri": uri, "mimeType": "text/plain", "text": format!("<{uri}>")}]}),
        )),
        "resources/read" => {
            let code = if request.modern { -32602 } else { -32002 };
            Err(RpcError::with_data(
                code,
                "no such resource",
                json!({"uri": uri}),
            ))
        }
        "prompts/get" if request.param("name") == "greet" => {
            let who = request
                .argument("who")
                .as_str()
                .unwrap_or("world")
                .to_owned();
            let content = json!({"type": "text", "text": format!("Greet {who}.")});
            Ok(json!({"messages": [{"role": "user", "content": content}]}))
        }
        "prompts/get" => Err(RpcError::new(-32602, "no such prompt")),
        "completion/complete" => Ok(json!({"completion": {"values": ["one", "two"], "total": 2}})),
        _ => return None,
    };
    Some(answer)
}

/// Adds what the modern era wants on a result that may be cached.
fn cacheable(request: &Request, mut result: Value) -> Value {
    if request.modern {
        set(&mut result, "ttlMs", json!(0));
        set(&mut result, "cacheScope", json!("private"));
    }
    result
}

fn page(script: &Script, member: &str, entries: &[Value], request: &Request) -> Answer {
    let size = if script.page_size == 0 {
        entries.len().max(1)
    } else {
        script.page_size
    };
    let pages = entries.len().div_ceil(size).max(1);
    let number = match given(request.param("cursor")).map(|cursor| cursor.as_str()) {
        None => 0,
        Some(Some("")) if script.cursors == Cursors::Empty => 1,
        Some(cursor) => cursor
            .and_then(|cursor| cursor.strip_prefix("page-")?.parse().ok())
            .filter(|number| *number < pages || script.cursors == Cursors::Endless)
            .ok_or_else(|| RpcError::new(-32602, "no such cursor"))?,
    };
    let more = number + 1 < pages;
    let next = match script.cursors {
        Cursors::Plain => more.then(|| number + 1),
        Cursors::Empty if number == 0 && more => None,
        Cursors::Empty => more.then(|| number + 1),
        Cursors::Loop => Some(if more { number + 1 } else { 1.min(pages - 1) }),
        Cursors::Stuck => Some(pages - 1),
        Cursors::Endless => Some(number + 1),
    };
    let mut shown: Vec<Value> = entries
        .iter()
        .skip(number * size)
        .take(size)
        .cloned()
        .collect();
    if shown.is_empty() && script.cursors == Cursors::Endless {
        shown = (0..size)
            .map(|n| tools::filler(&format!("endless-{}", number * size + n)))
            .collect();
    }
    let mut result = json!({});
    set(&mut result, member, Value::Array(shown));
    if let Some(next) = next {
        set(&mut result, "nextCursor", json!(format!("page-{next}")));
    } else if script.cursors == Cursors::Empty && number == 0 && more {
        set(&mut result, "nextCursor", json!(""));
    }
    Ok(cacheable(request, result))
}

fn known(script: &Script, uri: &str) -> bool {
    let number = uri
        .strip_prefix("fake://resource/")
        .map(str::parse::<usize>);
    uri.starts_with("fake://item/") || matches!(number, Some(Ok(n)) if n < script.resources)
}

fn resource(number: usize) -> Value {
    json!({"uri": format!("fake://resource/{number}"), "name": format!("resource-{number}")})
}

fn template() -> Value {
    json!({"uriTemplate": "fake://item/{id}", "name": "item"})
}

fn prompt() -> Value {
    json!({"name": "greet", "arguments": [{"name": "who", "required": false}]})
}
