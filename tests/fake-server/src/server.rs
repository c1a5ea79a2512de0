//! The loop: lines in, answers out.

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _},
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    ask::Asks,
    catalog,
    handshake::{self, Step},
    message::{
        Answer, PROTOCOL_VERSION, Request, RpcError, SERVER_INFO, SUBSCRIPTION_ID, notification,
        response, set, set_meta,
    },
    output::{self, Output},
    process,
    record::Record,
    script::{Eras, Script},
    timer::Timer,
    tools,
};

/// Serves until standard input ends, or as the script says.
pub(crate) fn run(script: Script) -> ExitCode {
    match serve(script) {
        Ok(code) => code,
        Err(error) => {
            output::stderr(format!("fake-server: {error}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

/// What all threads share.
pub(crate) struct Server {
    pub(crate) script: Script,
    pub(crate) output: Output,
    pub(crate) asks: Asks,
    pub(crate) timer: Timer,
    /// Calls that wait, by the text of their id.
    waiting: Mutex<BTreeMap<String, Waiting>>,
    /// Open `subscriptions/listen` requests.
    listens: Mutex<Vec<Request>>,
    /// Tools that were added since the start.
    added: AtomicUsize,
}

/// A call that is not answered yet.
struct Waiting {
    request: Request,
    /// Whether its cancellation is what it waits for.
    answers_cancel: bool,
}

impl Server {
    /// Keeps a call until it is taken, or cancelled.
    pub(crate) fn wait(&self, request: Request, answers_cancel: bool) {
        let waiting = Waiting {
            request,
            answers_cancel,
        };
        lock(&self.waiting).insert(waiting.request.id.to_string(), waiting);
    }

    /// Takes a call that waits; `None` once it is cancelled.
    pub(crate) fn take(&self, id: &Value) -> Option<Request> {
        lock(&self.waiting)
            .remove(&id.to_string())
            .map(|waiting| waiting.request)
    }

    /// Whether a call still waits.
    pub(crate) fn waits(&self, id: &Value) -> bool {
        lock(&self.waiting).contains_key(&id.to_string())
    }

    /// Answers a request, with what its era wants on every result.
    pub(crate) fn reply(&self, request: &Request, answer: Answer) {
        self.output
            .frame(self.response(request, answer).to_string());
    }

    /// The answer to a request as it would be sent.
    pub(crate) fn response(&self, request: &Request, answer: Answer) -> Value {
        let answer = answer.map(|mut result| {
            if request.modern && result.is_object() {
                if result.get("resultType").is_none() {
                    set(&mut result, "resultType", json!("complete"));
                }
                set_meta(&mut result, SERVER_INFO, handshake::info(&self.script));
            }
            result
        });
        response(&request.id, answer)
    }

    /// Adds a tool, and tells those who want to know.
    pub(crate) fn change_tools(&self) {
        const METHOD: &str = "notifications/tools/list_changed";
        self.added.fetch_add(1, Ordering::SeqCst);
        if self.script.era != Eras::Modern {
            self.output
                .frame(notification(METHOD, json!({})).to_string());
        }
        for listen in lock(&self.listens).iter() {
            if listen.param("notifications").get("toolsListChanged") == Some(&Value::Bool(true)) {
                let mut params = json!({});
                set_meta(&mut params, SUBSCRIPTION_ID, listen.id.clone());
                self.output.frame(notification(METHOD, params).to_string());
            }
        }
    }

    fn handle(self: &Arc<Self>, session: &mut Session, message: Value) {
        let method = message
            .get("method")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let params = message.get("params").cloned().unwrap_or_else(|| json!({}));
        match (method, message.get("id").cloned()) {
            (Some(method), Some(id)) => {
                let request = Request {
                    id,
                    method,
                    params,
                    modern: false,
                };
                self.handle_request(session, request);
            }
            (Some(method), None) => self.handle_notification(&method, &params),
            (None, Some(id)) => self.asks.answered(&id, message),
            (None, None) => {
                let error = RpcError::new(-32600, "neither a request nor an answer");
                self.output
                    .frame(response(&Value::Null, Err(error)).to_string());
            }
        }
    }

    fn handle_request(self: &Arc<Self>, session: &mut Session, mut request: Request) {
        let script = &self.script;
        match request.method.as_str() {
            "server/discover" => {
                request.modern = script.era != Eras::Legacy;
                let checked = if request.modern && script.discover.is_none() {
                    handshake::envelope(script, &request)
                } else {
                    Ok(())
                };
                match checked {
                    Ok(()) => self.take_step(&request, handshake::discover(script)),
                    Err(error) => self.reply(&request, Err(error)),
                }
                return;
            }
            "initialize" => {
                let (step, version) = handshake::initialize(script, &request);
                session.legacy |= version.is_some();
                if script.ping_first {
                    let server = Arc::clone(self);
                    self.asks.send(self, "ping", json!({}), move |_| {
                        server.take_step(&request, step);
                    });
                } else {
                    self.take_step(&request, step);
                }
                return;
            }
            _ => {}
        }
        let claims = request.meta(PROTOCOL_VERSION).is_string();
        request.modern = script.era != Eras::Legacy && (claims || !session.legacy);
        if request.modern {
            if let Err(error) = handshake::envelope(script, &request) {
                return self.reply(&request, Err(error));
            }
        } else if !session.legacy && request.method != "ping" {
            return self.reply(&request, Err(RpcError::new(-32600, "not initialized")));
        }
        self.serve_request(request);
    }

    fn serve_request(self: &Arc<Self>, request: Request) {
        let added = self.added.load(Ordering::SeqCst);
        if let Some(answer) = catalog::list(&self.script, added, &request)
            .or_else(|| catalog::read(&self.script, &request))
        {
            return self.reply(&request, answer);
        }
        match (request.method.as_str(), request.modern) {
            ("tools/call", _) => tools::call(self, request),
            (
                "ping" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe",
                false,
            ) => {
                self.reply(&request, Ok(json!({})));
            }
            ("subscriptions/listen", true) => {
                let method = "notifications/subscriptions/acknowledged";
                let params = handshake::acknowledgement(&request);
                self.output.frame(notification(method, params).to_string());
                lock(&self.listens).push(request);
            }
            (method, _) => self.reply(&request, Err(RpcError::unknown_method(method))),
        }
    }

    fn handle_notification(self: &Arc<Self>, method: &str, params: &Value) {
        match method {
            "notifications/initialized" => {
                if self.script.roots_after_initialized {
                    self.asks.send(self, "roots/list", json!({}), |_| {});
                }
                for _ in 0..self.script.changes_at_start {
                    self.change_tools();
                }
            }
            "notifications/cancelled" => {
                let id = params.get("requestId").cloned().unwrap_or_default();
                lock(&self.listens).retain(|listen| listen.id != id);
                self.cancel(&id);
            }
            _ => {}
        }
    }

    fn cancel(&self, id: &Value) {
        let mut waiting = lock(&self.waiting);
        let key = id.to_string();
        let Some(call) = waiting.get(&key) else {
            return;
        };
        if call.answers_cancel {
            self.reply(&call.request, Ok(crate::message::text("too late")));
            waiting.remove(&key);
        } else if !self.script.late_answers {
            waiting.remove(&key);
        }
    }

    fn take_step(&self, request: &Request, step: Step) {
        match step {
            Step::Answer(answer) => self.reply(request, answer),
            Step::Silence => {}
            Step::Exit => std::process::exit(1),
            Step::CannotClose(error) => {
                output::stderr(format!("fake-server: {error}\n").as_bytes());
                std::process::exit(1);
            }
        }
    }
}

/// What the reader alone knows.
#[derive(Default)]
struct Session {
    /// Whether an `initialize` was answered.
    legacy: bool,
}

fn serve(script: Script) -> io::Result<ExitCode> {
    process::ignore_sigterm(&script)?;
    let mut record = Record::open(script.record.as_deref())?;
    record.note("start")?;
    output::stderr(script.stderr_at_start.as_bytes());
    if let Some(code) = script.exit_at_start {
        std::process::exit(code);
    }
    process::grandchild(&script)?;
    let flood = script.stderr_flood;
    thread::spawn(move || {
        for _ in 0..flood.div_ceil(1 << 16) {
            output::stderr(&[b'e'; 1 << 16]);
        }
    });
    thread::sleep(Duration::from_millis(script.start_delay_ms));
    let server = Arc::new(Server {
        output: Output::new(&script),
        asks: Asks::default(),
        timer: Timer::start(),
        waiting: Mutex::default(),
        listens: Mutex::default(),
        added: AtomicUsize::new(0),
        script,
    });
    for line in &server.script.stdout_at_start {
        server.output.raw(format!("{line}\n").as_bytes());
    }
    read(&server, &mut record)?;
    record.note("eof")?;
    if server.script.ignore_eof {
        process::linger(true);
    }
    Ok(ExitCode::SUCCESS)
}

fn read(server: &Arc<Server>, record: &mut Record) -> io::Result<()> {
    let mut session = Session::default();
    let mut stdin = io::stdin().lock();
    let mut line = Vec::new();
    let mut frames = 0;
    loop {
        line.clear();
        if stdin.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        record.line(&line)?;
        match serde_json::from_slice::<Value>(&line) {
            Ok(message @ Value::Object(_)) => server.handle(&mut session, message),
            Ok(_) => {
                let error = RpcError::new(-32600, "batches are not spoken here");
                server
                    .output
                    .frame(response(&Value::Null, Err(error)).to_string());
            }
            Err(error) => {
                let error = RpcError::new(-32700, error.to_string());
                server
                    .output
                    .frame(response(&Value::Null, Err(error)).to_string());
            }
        }
        frames += 1;
        if server.script.stop_reading_after == Some(frames) {
            process::linger(true);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
