//! Requests of the server to the client.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};

use crate::server::Server;

type Then = Box<dyn FnOnce(Value) + Send>;

/// Requests that the client has not answered.
#[derive(Default)]
pub(crate) struct Asks(Mutex<Open>);

#[derive(Default)]
struct Open {
    sent: u64,
    then: BTreeMap<String, Then>,
}

impl Asks {
    /// Sends a request; `then` gets the whole answer, if there ever is one.
    pub(crate) fn send(
        &self,
        server: &Server,
        method: &str,
        params: Value,
        then: impl FnOnce(Value) + Send + 'static,
    ) {
        let mut open = self.lock();
        open.sent += 1;
        let id = json!(format!("ask-{}", open.sent));
        open.then.insert(id.to_string(), Box::new(then));
        drop(open);
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        server.output.frame(request.to_string());
    }

    /// Takes an answer of the client; one that nobody waits for is ignored.
    pub(crate) fn answered(&self, id: &Value, message: Value) {
        let then = self.lock().then.remove(&id.to_string());
        if let Some(then) = then {
            then(message);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
