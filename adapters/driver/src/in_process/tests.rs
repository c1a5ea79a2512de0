use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_channel::{Receiver, Sender};
use bytes::Bytes;
use futures::{
    FutureExt, StreamExt, TryStreamExt,
    executor::{LocalPool, block_on},
    future::BoxFuture,
    task::LocalSpawnExt,
};
use mcp_fleet_core::{Implementation, RpcError};
use serde_json::{Value, json};

use super::{InProcessServer, Tool, ToolCall, ToolOutput, serve, serve_streams, session};

/// Tools that answer, wait for a gate, report, fail and panic.
struct Bench {
    entered: Sender<ToolCall>,
    gate: Receiver<()>,
    left: Arc<AtomicUsize>,
    tools: Vec<&'static str>,
}

struct Hands {
    entered: Receiver<ToolCall>,
    gate: Sender<()>,
    left: Arc<AtomicUsize>,
}

impl Bench {
    fn new() -> (Arc<Self>, Hands) {
        let (entered_in, entered) = async_channel::unbounded();
        let (gate, gate_out) = async_channel::unbounded();
        let left = Arc::new(AtomicUsize::new(0));
        let tools = vec![
            "echo",
            "wait",
            "report",
            "fail",
            "refuse",
            "panic",
            "panic_early",
        ];
        let bench = Self {
            entered: entered_in,
            gate: gate_out,
            left: Arc::clone(&left),
            tools,
        };
        (
            Arc::new(bench),
            Hands {
                entered,
                gate,
                left,
            },
        )
    }
}

struct Leaves(Arc<AtomicUsize>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl InProcessServer for Bench {
    fn implementation(&self) -> Implementation {
        Implementation {
            name: "bench".into(),
            version: "1".into(),
            title: Some("Bench".into()),
        }
    }

    fn instructions(&self) -> Option<String> {
        Some("Use it gently.".into())
    }

    fn tools(&self) -> Vec<Tool> {
        let array = json!({ "type": "array" });
        self.tools
            .iter()
            .map(|name| Tool::new(*name).output_schema(array.clone()))
            .collect()
    }

    fn call_tool<'a>(&'a self, call: ToolCall) -> BoxFuture<'a, Result<ToolOutput, RpcError>> {
        assert!(call.name != "panic_early", "early");
        async move {
            let _leaves = Leaves(Arc::clone(&self.left));
            match call.name.as_str() {
                "echo" => Ok(ToolOutput::json(call.arguments.read().unwrap())),
                "wait" => {
                    self.entered.send(call).await.unwrap();
                    self.gate.recv().await.unwrap();
                    Ok(ToolOutput::text("waited").structured(json!([1])))
                }
                "report" => {
                    for progress in [1.0, 1.0, f64::NAN, 0.5, 2.0] {
                        call.progress(progress, Some(2.0), Some("step"));
                    }
                    Ok(ToolOutput::text("reported"))
                }
                "fail" => Ok(ToolOutput::error("no such file")),
                "refuse" => Err(RpcError {
                    code: 7,
                    message: "not today".into(),
                    data: Some(mcp_fleet_core::RawJson::parse("{\"when\":\"tomorrow\"}").unwrap()),
                }),
                other => panic!("{other}"),
            }
        }
        .boxed()
    }
}

/// A client on the same thread as the server.
struct Client {
    pool: LocalPool,
    frames: Option<Sender<Bytes>>,
    out: Receiver<Bytes>,
}

impl Client {
    fn new(server: Arc<dyn InProcessServer>) -> Self {
        Self::with_room(server, 100_000)
    }

    fn with_room(server: Arc<dyn InProcessServer>, room: usize) -> Self {
        let (frames, incoming) = async_channel::unbounded();
        let (outgoing, out) = async_channel::bounded(room);
        let pool = LocalPool::new();
        pool.spawner()
            .spawn_local(serve(server, incoming, outgoing))
            .unwrap();
        Self {
            pool,
            frames: Some(frames),
            out,
        }
    }

    fn send(&self, text: &str) {
        let frames = self.frames.as_ref().unwrap();
        frames.try_send(Bytes::from(format!("{text}\n"))).unwrap();
    }

    fn run(&mut self) {
        self.pool.run_until_stalled();
    }

    /// All that the server has to say to what was sent.
    fn answers(&mut self) -> Vec<Value> {
        self.run();
        let mut answers = Vec::new();
        while let Ok(frame) = self.out.try_recv() {
            assert!(frame.ends_with(b"\n"));
            answers.push(serde_json::from_slice(&frame).unwrap());
            self.run();
        }
        answers
    }

    fn ask(&mut self, text: &str) -> Value {
        self.send(text);
        let mut answers = self.answers();
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers.remove(0)
    }
}

fn modern(id: u64, method: &str, mut params: Value) -> String {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
}

fn call(id: u64, tool: &str, arguments: &Value) -> String {
    modern(
        id,
        "tools/call",
        json!({ "name": tool, "arguments": arguments }),
    )
}

fn code(answer: &Value) -> i64 {
    answer["error"]["code"]
        .as_i64()
        .unwrap_or_else(|| panic!("no error: {answer}"))
}

fn client() -> (Client, Hands) {
    let (bench, hands) = Bench::new();
    (Client::new(bench), hands)
}

const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

#[test]
fn discover_says_what_works() {
    let (mut client, _hands) = client();
    let answer = client.ask(&modern(1, "server/discover", json!({})));
    let result = &answer["result"];
    assert_eq!(result["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(result["capabilities"], json!({ "tools": {} }));
    assert_eq!(result["instructions"], "Use it gently.");
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result["cacheScope"], "public");
    assert!(result["ttlMs"].as_u64().unwrap() > 0);
    assert_eq!(result["_meta"][SERVER_INFO]["name"], "bench");
    assert_eq!(result["_meta"][SERVER_INFO]["title"], "Bench");
    assert!(result.get("serverInfo").is_none());
}

#[test]
fn tools_are_listed_in_their_order_with_schemas() {
    let (mut client, _hands) = client();
    let answer = client.ask(&modern(1, "tools/list", json!({})));
    let tools = answer["result"]["tools"].as_array().unwrap();
    assert_eq!(tools[0]["name"], "echo");
    assert_eq!(tools[6]["name"], "panic_early");
    assert_eq!(tools[0]["inputSchema"], json!({ "type": "object" }));
    assert_eq!(tools[0]["outputSchema"], json!({ "type": "array" }));
    assert_eq!(answer["result"]["resultType"], "complete");
    assert!(answer["result"]["ttlMs"].is_u64());
    let refused = client.ask(&modern(2, "tools/list", json!({ "cursor": "" })));
    assert_eq!(code(&refused), -32602);
}

#[test]
fn a_server_without_tools_declares_none() {
    let (sender, gate) = async_channel::bounded(1);
    let (entered, _) = async_channel::bounded(1);
    drop(sender);
    let bench = Bench {
        entered,
        gate,
        left: Arc::default(),
        tools: Vec::new(),
    };
    let mut client = Client::new(Arc::new(bench));
    let answer = client.ask(&modern(1, "server/discover", json!({})));
    assert_eq!(answer["result"]["capabilities"], json!({}));
    assert_eq!(
        code(&client.ask(&modern(2, "tools/list", json!({})))),
        -32601
    );
    assert_eq!(code(&client.ask(&call(3, "echo", &json!({})))), -32601);
}

#[test]
fn a_request_without_its_envelope_is_malformed() {
    let (mut client, _hands) = client();
    let version = "io.modelcontextprotocol/protocolVersion";
    let capabilities = "io.modelcontextprotocol/clientCapabilities";
    for params in [
        json!(null),
        json!({}),
        json!({ "_meta": {} }),
        json!({ "_meta": 3 }),
        json!({ "_meta": { version: "2026-07-28" } }),
        json!({ "_meta": { capabilities: {} } }),
        json!({ "_meta": { version: 2026, capabilities: {} } }),
        json!({ "_meta": { version: "2026-07-28", capabilities: true } }),
        json!({ "_meta": {
            version: "2026-07-28", capabilities: {},
            "io.modelcontextprotocol/clientInfo": { "name": "x" }
        } }),
    ] {
        let mut request = json!({ "jsonrpc": "2.0", "id": "a", "method": "tools/list" });
        if !params.is_null() {
            request["params"] = params;
        }
        let answer = client.ask(&request.to_string());
        assert_eq!(code(&answer), -32602, "{request}");
        assert_eq!(answer["id"], "a");
    }
}

#[test]
fn another_version_is_refused_with_the_supported_ones() {
    let (mut client, _hands) = client();
    let text = modern(1, "server/discover", json!({})).replace("2026-07-28", "2027-01-01");
    let answer = client.ask(&text);
    assert_eq!(code(&answer), -32022);
    let data = json!({ "supported": ["2026-07-28"], "requested": "2027-01-01" });
    assert_eq!(answer["error"]["data"], data);
}

#[test]
fn methods_that_do_not_exist_are_unknown() {
    let (mut client, _hands) = client();
    for method in [
        "resources/list",
        "prompts/list",
        "initialize",
        "ping",
        "logging/setLevel",
        "subscriptions/listen",
        "x",
    ] {
        assert_eq!(
            code(&client.ask(&modern(1, method, json!({})))),
            -32601,
            "{method}"
        );
    }
}

#[test]
fn calls_give_structured_content_errors_and_refusals() {
    let (mut client, _hands) = client();
    let answer = client.ask(&call(1, "echo", &json!({ "a": [1, "ü"] })));
    assert_eq!(
        answer["result"]["structuredContent"],
        json!({ "a": [1, "ü"] })
    );
    assert_eq!(answer["result"]["content"][0]["text"], "{\"a\":[1,\"ü\"]}");
    assert_eq!(answer["result"]["resultType"], "complete");
    assert!(answer["result"].get("isError").is_none());
    assert!(answer["result"].get("ttlMs").is_none());
    let answer = client.ask(&call(2, "fail", &json!({})));
    assert_eq!(answer["result"]["isError"], true);
    let answer = client.ask(&call(3, "refuse", &json!({})));
    assert_eq!(answer["error"]["data"], json!({ "when": "tomorrow" }));
    assert!(answer.get("result").is_none());
    assert_eq!(code(&client.ask(&call(4, "nope", &json!({})))), -32602);
    assert_eq!(code(&client.ask(&call(5, "echo", &json!([])))), -32602);
    assert_eq!(
        code(&client.ask(&modern(6, "tools/call", json!({})))),
        -32602
    );
    let bare = client.ask(&modern(7, "tools/call", json!({ "name": "echo" })));
    assert_eq!(bare["result"]["structuredContent"], json!({}));
}

#[test]
fn a_panic_ends_one_call_only() {
    let (mut client, _hands) = client();
    for tool in ["panic", "panic_early"] {
        let answer = client.ask(&call(1, tool, &json!({})));
        assert_eq!(code(&answer), -32603);
        let answer = client.ask(&call(2, "echo", &json!({})));
        assert!(answer.get("result").is_some());
    }
}

#[test]
fn ids_come_back_as_they_were() {
    let (mut client, _hands) = client();
    for id in [
        "0",
        "-7",
        "\"7\"",
        "\"\u{fc}\"",
        "18446744073709551617",
        "1.0",
    ] {
        let text =
            modern(1, "server/discover", json!({})).replace("\"id\":1", &format!("\"id\":{id}"));
        client.send(&text);
        client.run();
        let frame = client.out.try_recv().unwrap();
        let frame = std::str::from_utf8(&frame).unwrap();
        assert!(frame.contains(&format!("\"id\":{id},")), "{frame}");
    }
    for id in ["null", "true", "{}", "[1]", "1.5"] {
        let text =
            modern(1, "server/discover", json!({})).replace("\"id\":1", &format!("\"id\":{id}"));
        let answer = client.ask(&text);
        assert_eq!(code(&answer), -32600, "{id}");
        assert!(answer.get("id").is_none());
    }
}

#[test]
fn garbage_is_answered_and_notifications_are_not() {
    let (mut client, _hands) = client();
    assert_eq!(code(&client.ask("{not json")), -32700);
    assert_eq!(code(&client.ask("[]")), -32600);
    assert_eq!(code(&client.ask("3")), -32600);
    assert_eq!(
        code(&client.ask(r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#)),
        -32600
    );
    assert_eq!(
        code(&client.ask(r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}"#)),
        -32600
    );
    assert_eq!(
        code(&client.ask(r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[]}"#)),
        -32602
    );
    for silent in [
        "",
        "\r",
        r#"{"jsonrpc":"2.0","method":"notifications/unheard_of"}"#,
        r#"{"jsonrpc":"1.0","method":"x"}"#,
        r#"{"jsonrpc":"2.0","method":"x","params":7}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":77}}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}"#,
    ] {
        client.send(silent);
        assert_eq!(client.answers(), Vec::<Value>::new(), "{silent}");
    }
}

#[test]
fn calls_overlap_and_end_in_any_order() {
    let (mut client, hands) = client();
    let lines = [call(1, "wait", &json!({})), call(2, "echo", &json!({}))].join("\n");
    assert_eq!(client.ask(&lines)["id"], 2);
    hands.gate.try_send(()).unwrap();
    assert_eq!(client.answers()[0]["id"], 1);
}

#[test]
fn progress_increases_and_comes_before_the_answer() {
    let (mut client, _hands) = client();
    client.send(&modern(
        1,
        "tools/call",
        json!({
            "name": "report", "_meta": { "progressToken": "t" }
        }),
    ));
    let answers = client.answers();
    let params = |at: usize| &answers[at]["params"];
    assert_eq!(answers.len(), 3, "{answers:?}");
    let first = json!({ "progressToken": "t", "progress": 1.0, "total": 2.0, "message": "step" });
    assert_eq!(*params(0), first);
    assert_eq!(params(1)["progress"], 2.0);
    assert_eq!(answers[2]["id"], 1);
    // Without a token there is none; with one that is no token the request is refused.
    assert_eq!(client.ask(&call(2, "report", &json!({})))["id"], 2);
    let wrong = json!({ "name": "report", "_meta": { "progressToken": [] } });
    assert_eq!(code(&client.ask(&modern(3, "tools/call", wrong))), -32602);
}

#[test]
fn a_cancelled_call_is_dropped_and_says_nothing_more() {
    let (mut client, hands) = client();
    client.send(&modern(
        1,
        "tools/call",
        json!({
            "name": "wait", "_meta": { "progressToken": 1 }
        }),
    ));
    client.run();
    let inside = hands.entered.try_recv().unwrap();
    assert!(!inside.is_cancelled());
    client.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    client.run();
    assert!(inside.is_cancelled());
    assert!(inside.cancelled().now_or_never().is_some());
    assert_eq!(hands.left.load(Ordering::SeqCst), 1);
    inside.progress(5.0, None, None);
    hands.gate.try_send(()).unwrap();
    assert_eq!(client.answers(), Vec::<Value>::new());
    // The id is free again.
    assert_eq!(client.ask(&call(1, "echo", &json!({})))["id"], 1);
}

#[test]
fn an_ended_call_counts_as_over_for_work_outside_of_it() {
    let (mut client, hands) = client();
    client.send(&call(1, "wait", &json!({})));
    client.run();
    let inside = hands.entered.try_recv().unwrap();
    hands.gate.try_send(()).unwrap();
    assert_eq!(client.answers().len(), 1);
    assert!(inside.is_cancelled());
}

#[test]
fn an_id_in_flight_is_not_taken_twice() {
    let (mut client, hands) = client();
    client.send(&call(1, "wait", &json!({})));
    client.run();
    assert_eq!(code(&client.ask(&call(1, "echo", &json!({})))), -32600);
    hands.gate.try_send(()).unwrap();
    assert_eq!(client.answers().len(), 1);
}

#[test]
fn calls_beyond_the_bound_wait_and_beyond_that_are_refused() {
    let (mut client, hands) = client();
    let total = session::RUNNING_MAX + session::WAITING_MAX + 3;
    for id in 0..total {
        client.send(&call(id as u64, "wait", &json!({})));
    }
    let refused = client.answers();
    assert_eq!(hands.entered.len(), session::RUNNING_MAX);
    assert_eq!(refused.len(), 3);
    assert!(refused.iter().all(|answer| code(answer) == -32603));
    // One that waits is cancelled before it began.
    let waiting = session::RUNNING_MAX + 5;
    client.send(&format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{waiting}}}}}"#
    ));
    client.run();
    for _ in 0..total {
        hands.gate.try_send(()).unwrap();
    }
    let answers = client.answers();
    assert_eq!(
        answers.len(),
        session::RUNNING_MAX + session::WAITING_MAX - 1
    );
    assert!(answers.iter().all(|answer| answer["id"] != waiting));
}

#[test]
fn a_reader_that_stands_still_does_not_stop_calls() {
    let (bench, hands) = Bench::new();
    let mut client = Client::with_room(bench, 1);
    client.send(&call(1, "wait", &json!({})));
    for id in 2..50 {
        client.send(&modern(id, "tools/list", json!({})));
    }
    client.run();
    hands.gate.try_send(()).unwrap();
    client.run();
    // The tool is done although the client has not read a line.
    assert_eq!(hands.gate.len(), 0);
    let answers = client.answers();
    assert_eq!(answers.len(), 49);
}

#[test]
fn end_of_input_drains_answers() {
    let (mut client, hands) = client();
    client.send(&call(1, "wait", &json!({})));
    client.run();
    client.frames = None;
    client.run();
    assert!(!client.out.is_closed());
    hands.gate.try_send(()).unwrap();
    assert_eq!(client.answers()[0]["id"], 1);
    assert!(client.out.is_closed());
}

#[test]
fn a_client_that_left_ends_all_calls() {
    let (mut client, hands) = client();
    client.send(&call(1, "wait", &json!({})));
    client.run();
    client.out.close();
    client.run();
    assert_eq!(hands.left.load(Ordering::SeqCst), 1);
    assert!(client.frames.as_ref().unwrap().is_closed());
}

#[test]
fn the_legacy_era_is_served_without_modern_marks() {
    let (mut client, hands) = client();
    let ping = r#"{"jsonrpc":"2.0","id":0,"method":"ping"}"#;
    assert_eq!(client.ask(ping)["result"], json!({}));
    let initialize = |version: &str| {
        json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": version, "capabilities": {},
            "clientInfo": { "name": "c", "version": "1" }
        } })
        .to_string()
    };
    for (asked, given) in [
        ("2024-11-05", "2024-11-05"),
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
        ("2025-11-25", "2025-11-25"),
    ] {
        let answer = client.ask(&initialize(asked));
        assert_eq!(answer["result"]["protocolVersion"], given);
        assert_eq!(answer["result"]["serverInfo"]["name"], "bench");
        assert!(answer["result"].get("resultType").is_none());
    }
    client.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    let list = client.ask(r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#);
    assert_eq!(list["result"].as_object().unwrap().len(), 1);
    assert!(list["result"]["tools"][0].get("outputSchema").is_none());
    let call = r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"wait"}}"#;
    hands.gate.try_send(()).unwrap();
    let answer = client.ask(call);
    let waited = json!({ "content": [{ "type": "text", "text": "waited" }] });
    assert_eq!(answer["result"], waited);
    let unknown = client.ask(r#"{"jsonrpc":"2.0","id":4,"method":"server/discover"}"#);
    assert_eq!(code(&unknown), -32601);
    assert_eq!(code(&client.ask(&format!("[{ping}]"))), -32600);
    client.ask(&initialize("2025-03-26"));
    client.send(&format!("[{ping},{ping}]"));
    assert_eq!(client.answers().len(), 2);
    // Modern requests are served beside the legacy session.
    let modern = client.ask(&modern(5, "server/discover", json!({})));
    assert_eq!(modern["result"]["resultType"], "complete");
}

#[test]
fn streams_are_cut_anywhere() {
    let (bench, _hands) = Bench::new();
    let mut input = String::new();
    for id in 0..20 {
        input.push_str(&call(
            id,
            "echo",
            &json!({ "id": id, "text": "ä".repeat(id as usize) }),
        ));
        input.push_str(if id % 2 == 0 { "\n" } else { "\r\n" });
    }
    input.push_str("{\"unfinished\":");
    for step in [1, 7, 4096] {
        let pieces: Vec<_> = input
            .as_bytes()
            .chunks(step)
            .map(|piece| Ok(piece.to_vec()))
            .collect();
        let reader = futures::stream::iter(pieces).into_async_read();
        let mut output = Vec::new();
        let writer = futures::io::Cursor::new(&mut output);
        block_on(serve_streams(bench.clone(), reader, writer));
        let mut ids: Vec<_> = output
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice::<Value>(line).unwrap())
            .map(|answer| {
                assert_eq!(answer["result"]["structuredContent"]["id"], answer["id"]);
                answer["id"].as_u64().unwrap()
            })
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..20).collect::<Vec<_>>());
    }
}

#[test]
fn a_writer_that_fails_ends_the_server() {
    struct Broken;
    impl futures::AsyncWrite for Broken {
        fn poll_write(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &[u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            std::task::Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into()))
        }
        fn poll_flush(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
        fn poll_close(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
    }
    let (bench, hands) = Bench::new();
    let text = format!(
        "{}\n{}\n",
        call(1, "wait", &json!({})),
        call(2, "echo", &json!({}))
    );
    // A reader that says its lines and then never ends.
    let reader = futures::stream::iter([Ok(text.into_bytes())])
        .chain(futures::stream::pending::<std::io::Result<Vec<u8>>>());
    let reader = reader.into_async_read();
    block_on(serve_streams(bench, reader, Broken));
    assert_eq!(hands.left.load(Ordering::SeqCst), 2);
}

#[test]
fn a_server_can_be_moved_between_threads() {
    fn is_send(_: impl Send) {}
    let (bench, _hands) = Bench::new();
    let (_, frames) = async_channel::bounded(1);
    let (out, _) = async_channel::bounded(1);
    is_send(serve(bench.clone(), frames, out));
    is_send(serve_streams(
        bench,
        futures::io::empty(),
        futures::io::sink(),
    ));
}
