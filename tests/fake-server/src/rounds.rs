//! The tool `rounds`: questions in the answers of the modern era.

use serde_json::{Value, json};

use crate::message::{Answer, Request, RpcError, given, set, structured};

/// One round of the tool, told from the state that the client brought back.
///
/// The state is the list of the responses so far, so that the last answer can show them all.
pub(crate) fn round(request: &Request) -> Answer {
    let mut responses = Vec::new();
    if let Some(state) = given(request.param("requestState")) {
        responses = state
            .as_str()
            .and_then(|state| serde_json::from_str::<Vec<Value>>(state).ok())
            .ok_or_else(|| RpcError::new(-32602, "not a state of mine"))?;
        responses.push(request.param("inputResponses").clone());
    }
    if responses.len() as u64 >= request.number("rounds", 1) {
        return Ok(structured(json!({"responses": responses})));
    }
    let mut result = json!({
        "resultType": "input_required",
        "requestState": Value::Array(responses.clone()).to_string(),
    });
    if !request.flag("stateOnly", false) {
        let method = request
            .argument("ask")
            .as_str()
            .unwrap_or("elicitation/create");
        let key = format!("question-{}", responses.len() + 1);
        set(
            &mut result,
            "inputRequests",
            json!({key: {"method": method, "params": params(method)}}),
        );
    }
    Ok(result)
}

/// A question of this method that is as small as the protocol allows.
pub(crate) fn params(method: &str) -> Value {
    match method {
        "elicitation/create" => json!({
            "mode": "form",
            "message": "Go on?",
            "requestedSchema": {"type": "object", "properties": {"yes": {"type": "boolean"}}},
        }),
        "sampling/createMessage" => json!({
            "messages": [{"role": "user", "content": {"type": "text", "text": "Go on?"}}],
            "maxTokens": 16,
        }),
        _ => json!({}),
    }
}
