//! The tool `progress`: reports on the way to the answer.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use crate::{
    message::{Request, given, notification, text},
    server::Server,
};

/// Reports so many steps, then answers; ends without a word when it is cancelled.
pub(crate) fn start(server: &Arc<Server>, request: Request) {
    let steps = request.number("steps", 3);
    server.wait(request.clone(), false);
    step(Arc::clone(server), request, 1, steps);
}

fn step(server: Arc<Server>, request: Request, number: u64, steps: u64) {
    if !server.waits(&request.id) {
        return;
    }
    if number > steps {
        if server.take(&request.id).is_some() {
            server.reply(&request, Ok(text(format!("{steps} steps"))));
        }
        return;
    }
    let token = given(request.argument("token")).or_else(|| given(request.meta("progressToken")));
    if let Some(token) = token {
        let backwards = request.flag("backwards", false);
        let progress = if backwards {
            steps - number + 1
        } else {
            number
        };
        let params = json!({
            "progressToken": token,
            "progress": progress,
            "total": steps,
            "message": format!("step {number}"),
        });
        server
            .output
            .frame(notification("notifications/progress", params).to_string());
    }
    let pause = Duration::from_millis(request.number("pauseMs", 0));
    let next = Arc::clone(&server);
    server
        .timer
        .after(pause, move || step(next, request, number + 1, steps));
}
