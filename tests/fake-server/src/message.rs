//! The messages of JSON-RPC, as trees.

use serde_json::{Value, json};

pub(crate) const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub(crate) const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
pub(crate) const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
pub(crate) const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// A request of the client.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: Value,
    pub(crate) method: String,
    pub(crate) params: Value,
    /// Whether it is served by the rules of the modern era.
    pub(crate) modern: bool,
}

impl Request {
    /// A member of `params`; null where there is none.
    pub(crate) fn param(&self, name: &str) -> &Value {
        self.params.get(name).unwrap_or(&Value::Null)
    }

    /// A member of `params._meta`; null where there is none.
    pub(crate) fn meta(&self, name: &str) -> &Value {
        self.param("_meta").get(name).unwrap_or(&Value::Null)
    }

    /// The arguments of a `tools/call`.
    pub(crate) fn argument(&self, name: &str) -> &Value {
        self.param("arguments").get(name).unwrap_or(&Value::Null)
    }

    /// A whole number among the arguments; `default` where there is none.
    pub(crate) fn number(&self, name: &str, default: u64) -> u64 {
        self.argument(name).as_u64().unwrap_or(default)
    }

    /// A flag among the arguments; `default` where there is none.
    pub(crate) fn flag(&self, name: &str, default: bool) -> bool {
        self.argument(name).as_bool().unwrap_or(default)
    }
}

/// The value, unless it is null.
pub(crate) fn given(value: &Value) -> Option<&Value> {
    Some(value).filter(|value| !value.is_null())
}

/// What came of a request.
pub(crate) type Answer = Result<Value, RpcError>;

/// A JSON-RPC error.
#[derive(Clone, Debug)]
pub(crate) struct RpcError {
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) data: Option<Value>,
}

impl RpcError {
    pub(crate) fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    pub(crate) fn with_data(code: i64, message: impl Into<String>, data: Value) -> Self {
        Self {
            data: Some(data),
            ..Self::new(code, message)
        }
    }

    pub(crate) fn unknown_method(method: &str) -> Self {
        Self::new(-32601, format!("method not found: {method}"))
    }
}

pub(crate) fn response(id: &Value, answer: Answer) -> Value {
    match answer {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(RpcError {
            code,
            message,
            data: None,
        }) => {
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
        }
        Err(RpcError {
            code,
            message,
            data: Some(data),
        }) => json!({
            "jsonrpc": "2.0",
            "id": id,
            "error": {"code": code, "message": message, "data": data},
        }),
    }
}

pub(crate) fn notification(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

/// The result of a tool that says `text`.
pub(crate) fn text(text: impl Into<String>) -> Value {
    json!({"content": [{"type": "text", "text": text.into()}]})
}

/// The result of a tool with structured content, and the same as text.
pub(crate) fn structured(value: Value) -> Value {
    let mut result = text(value.to_string());
    set(&mut result, "structuredContent", value);
    result
}

/// Sets a member of an object; anything but an object stays as it is.
pub(crate) fn set(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value);
    }
}

/// Sets a member of the `_meta` of an object.
pub(crate) fn set_meta(object: &mut Value, name: &str, value: Value) {
    let mut meta = object.get("_meta").cloned().unwrap_or_else(|| json!({}));
    set(&mut meta, name, value);
    set(object, "_meta", meta);
}
