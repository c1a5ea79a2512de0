//! What servers ask of the application, in either era.

use std::time::Duration;

use mcp_fleet_core::{
    CallError, CommandError, Event, Exit, InputId, McpCommand, RawJson, Reply, RpcError, Sent,
    Signal,
    config::{ClientCapabilities, ElicitationCapability, FleetConfig, Root, SamplingCapability},
};
use serde_json::json;

use crate::world::{World, answer, server};

fn asked(world: &mut World) -> Option<(InputId, String)> {
    let place = world
        .events
        .iter()
        .position(|event| matches!(event, Event::InputRequested { .. }))?;
    match world.events.remove(place) {
        Event::InputRequested { input, method, .. } => Some((input, method)),
        _ => None,
    }
}

fn withdrawn(world: &World, id: InputId) -> bool {
    world
        .events
        .iter()
        .any(|event| matches!(event, Event::InputWithdrawn { input } if *input == id))
}

fn handling() -> World {
    let mut config = FleetConfig::default();
    config.client.capabilities = ClientCapabilities {
        roots: Some(vec![Root {
            uri: "file:///srv".into(),
            name: None,
        }]),
        sampling: Some(SamplingCapability::default()),
        elicitation: Some(ElicitationCapability::default()),
    };
    World::with(config)
}

fn reply_with(
    world: &mut World,
    input: InputId,
    text: Result<&str, RpcError>,
) -> Result<Reply, CommandError> {
    let answer = text.map(|text| RawJson::parse(text).unwrap());
    let id = world.command(|id| McpCommand::Answer { id, input, answer });
    world.reply(id).unwrap()
}

#[test]
fn undeclared_questions_of_a_legacy_server_are_refused_by_their_codes() {
    let mut world = World::new();
    let link = world.legacy(server("a"), "2025-11-25");
    for (id, method) in [
        (1, "roots/list"),
        (2, "sampling/createMessage"),
        (3, "elicitation/create"),
        (4, "x/y"),
    ] {
        world.say(
            link,
            json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {}}),
        );
        let refusal = world.sent(link).remove(0);
        assert_eq!(
            (&refusal["id"], &refusal["error"]["code"]),
            (&json!(id), &json!(-32601))
        );
    }
    assert!(asked(&mut world).is_none());
}

#[test]
fn pings_and_roots_are_answered_without_the_application() {
    let mut world = handling();
    let link = world.legacy(server("a"), "2025-11-25");
    world.say(link, json!({"jsonrpc": "2.0", "id": "p", "method": "ping"}));
    world.say(
        link,
        json!({"jsonrpc": "2.0", "id": 2, "method": "roots/list"}),
    );
    let sent = world.sent(link);
    assert_eq!(sent[0], json!({"jsonrpc": "2.0", "id": "p", "result": {}}));
    assert_eq!(
        sent[1]["result"],
        json!({"roots": [{"uri": "file:///srv"}]})
    );
}

#[test]
fn ids_of_the_servers_questions_are_echoed_exactly() {
    let mut world = World::new();
    let link = world.legacy(server("a"), "2025-11-25");
    for id in ["1", "\"1\"", "18446744073709551617", "\"\\u00e4\""] {
        world.say_raw(
            link,
            format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"ping\"}}\n"),
        );
        let raw = world.effects.iter().find_map(|effect| match effect {
            mcp_fleet_core::Effect::Send { bytes, .. } => {
                Some(String::from_utf8(bytes.to_vec()).unwrap())
            }
            _ => None,
        });
        assert!(raw.unwrap().contains(&format!("\"id\":{id}")), "{id}");
        world.effects.clear();
    }
}

#[test]
fn a_question_goes_out_and_its_answer_comes_in() {
    let mut world = handling();
    let link = world.legacy(server("a"), "2025-11-25");
    let params = json!({"messages": [], "maxTokens": 5});
    world.say(
        link,
        json!({"jsonrpc": "2.0", "id": 9, "method": "sampling/createMessage", "params": params}),
    );
    let (input, method) = asked(&mut world).unwrap();
    assert_eq!(method, "sampling/createMessage");
    assert!(world.sent(link).is_empty());
    assert_eq!(
        reply_with(&mut world, input, Ok("{\"role\":\"user\"}")),
        Ok(Reply::Done)
    );
    let sent = world.sent(link).remove(0);
    assert_eq!(
        sent,
        json!({"jsonrpc": "2.0", "id": 9, "result": {"role": "user"}})
    );
    let again = reply_with(&mut world, input, Ok("{}"));
    assert_eq!(again, Err(CommandError::NoSuchInput));
}

#[test]
fn a_refusal_of_the_application_reaches_the_server() {
    let mut world = handling();
    let link = world.legacy(server("a"), "2025-11-25");
    world.say(
        link,
        json!({"jsonrpc": "2.0", "id": 9, "method": "sampling/createMessage", "params": {}}),
    );
    let (input, _) = asked(&mut world).unwrap();
    let refusal = RpcError {
        code: -1,
        message: "User rejected".into(),
        data: None,
    };
    assert_eq!(reply_with(&mut world, input, Err(refusal)), Ok(Reply::Done));
    assert_eq!(world.sent(link)[0]["error"]["code"], -1);
}

#[test]
fn a_question_taken_back_or_lost_with_its_server_is_withdrawn() {
    let mut world = handling();
    let link = world.legacy(server("a"), "2025-11-25");
    for id in [9, 10] {
        world.say(
            link,
            json!({"jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": {}}),
        );
    }
    let (first, _) = asked(&mut world).unwrap();
    let (second, _) = asked(&mut world).unwrap();
    world.say(
        link,
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}}),
    );
    assert!(withdrawn(&world, first) && !withdrawn(&world, second));
    world.exit(link, Exit::Code(0));
    assert!(withdrawn(&world, second));
    assert_eq!(
        reply_with(&mut world, second, Ok("{}")),
        Err(CommandError::NoSuchInput)
    );
}

#[test]
fn open_questions_are_bounded() {
    let mut world = handling();
    let mut config = server("a");
    config.limits.inputs = 2;
    let link = world.legacy(config, "2025-11-25");
    for id in 0..3 {
        world.say(
            link,
            json!({"jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": {}}),
        );
    }
    let refusals = world.sent(link);
    assert_eq!(refusals.len(), 1);
    assert_eq!(
        (&refusals[0]["id"], &refusals[0]["error"]["code"]),
        (&json!(2), &json!(-32603))
    );
}

#[test]
fn a_server_that_asks_without_reading_cannot_make_us_hold_its_answers() {
    let mut world = World::new();
    let mut config = server("a");
    config.limits.write_bytes = 1000;
    let link = world.legacy(config, "2025-11-25");
    for id in 0..10_000 {
        world.say(link, json!({"jsonrpc": "2.0", "id": id, "method": "ping"}));
    }
    assert!(world.sent(link).len() < 100);
    assert!(world.fleet.stats().total.violations > 9_000);
}

#[test]
fn requests_of_a_modern_server_are_dropped_not_answered() {
    let mut world = handling();
    let link = world.modern(server("a"));
    world.say(
        link,
        json!({"jsonrpc": "2.0", "id": 1, "method": "roots/list"}),
    );
    world.say(link, json!({"jsonrpc": "2.0", "id": 2, "method": "ping"}));
    assert!(world.sent(link).is_empty());
    assert_eq!(world.fleet.stats().total.violations, 2);
}

#[test]
fn a_round_is_answered_and_the_same_call_goes_on_under_a_new_id() {
    let mut world = handling();
    let link = world.modern(server("a"));
    let call = world.call("a", "book");
    let first = world.sent(link).remove(0);
    let state = "\"opaque \\u00e9 state\"";
    world.say_raw(
        link,
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{{\"resultType\":\"input_required\",\
             \"requestState\":{state},\"inputRequests\":{{\"who\":{{\"method\":\"elicitation/create\",\
             \"params\":{{\"message\":\"m\"}}}},\"where\":{{\"method\":\"roots/list\"}}}}}}}}\n",
            first["id"]
        ),
    );
    let (input, method) = asked(&mut world).unwrap();
    assert_eq!(method, "elicitation/create");
    assert!(world.sent(link).is_empty());
    reply_with(
        &mut world,
        input,
        Ok("{\"action\":\"accept\",\"content\":{\"n\":1}}"),
    )
    .unwrap();
    let raw = world.effects.iter().find_map(|effect| match effect {
        mcp_fleet_core::Effect::Send { bytes, .. } => Some(bytes.clone()),
        _ => None,
    });
    let raw = String::from_utf8(raw.unwrap().to_vec()).unwrap();
    assert!(
        raw.contains(&format!("\"requestState\":{state}")),
        "byte for byte: {raw}"
    );
    let second = world.sent(link).remove(0);
    assert_ne!(second["id"], first["id"]);
    assert_eq!(second["params"]["arguments"], first["params"]["arguments"]);
    let responses = &second["params"]["inputResponses"];
    assert_eq!(responses["who"]["action"], "accept");
    assert_eq!(
        responses["where"],
        json!({"roots": [{"uri": "file:///srv"}]})
    );
    world.say(
        link,
        answer(&second, json!({"resultType": "complete", "ok": true})),
    );
    assert_eq!(world.outcome(call).unwrap().unwrap()["ok"], true);
}

#[test]
fn a_round_that_asks_nothing_is_repeated_after_a_pause_with_its_state_alone() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    let call = world.call("a", "wait");
    let first = world.sent(link).remove(0);
    let round = json!({"resultType": "input_required", "requestState": "s1"});
    world.say(link, answer(&first, round));
    assert!(world.sent(link).is_empty());
    world.pass(Duration::from_millis(250));
    let second = world.sent(link).remove(0);
    assert_eq!(second["params"]["requestState"], "s1");
    assert!(second["params"].get("inputResponses").is_none());
    world.say(link, answer(&second, json!({"resultType": "complete"})));
    assert!(world.outcome(call).unwrap().is_ok());
}

#[test]
fn rounds_are_bounded() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    let call = world.call("a", "wait");
    for round in 0..11 {
        let frame = world.sent(link).remove(0);
        let state = round.to_string();
        let round = json!({"resultType": "input_required", "requestState": state});
        world.say(link, answer(&frame, round));
        world.pass(Duration::from_millis(250));
    }
    let outcome = world.outcome(call).unwrap().unwrap_err();
    assert!(matches!(outcome, CallError::Protocol { .. }), "{outcome:?}");
    assert!(world.sent(link).is_empty());
}

#[test]
fn a_round_that_asks_what_was_not_declared_ends_the_call() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    let call = world.call("a", "t");
    let frame = world.sent(link).remove(0);
    let requests = json!({"k": {"method": "sampling/createMessage", "params": {}}});
    let round = json!({"resultType": "input_required", "inputRequests": requests});
    world.say(link, answer(&frame, round));
    let outcome = world.outcome(call).unwrap().unwrap_err();
    assert!(
        matches!(outcome, CallError::InputRefused { .. }),
        "{outcome:?}"
    );
    let call = world.call("a", "t");
    let frame = world.sent(link).remove(0);
    world.say(
        link,
        answer(&frame, json!({"resultType": "input_required"})),
    );
    assert!(matches!(
        world.outcome(call),
        Some(Err(CallError::Protocol { .. }))
    ));
}

#[test]
fn cancelling_a_call_that_asks_withdraws_its_questions() {
    let mut world = handling();
    let link = world.modern(server("a"));
    let call = world.call("a", "t");
    let frame = world.sent(link).remove(0);
    let requests = json!({"k": {"method": "elicitation/create", "params": {}}});
    let round = json!({"resultType": "input_required", "inputRequests": requests});
    world.say(link, answer(&frame, round));
    let (input, _) = asked(&mut world).unwrap();
    world.feed(McpCommand::Cancel { call, reason: None });
    assert!(withdrawn(&world, input));
    assert!(matches!(
        world.outcome(call),
        Some(Err(CallError::Cancelled { .. }))
    ));
    assert!(
        world.sent(link).is_empty(),
        "nothing is in flight, so nothing is cancelled"
    );
}

#[test]
fn a_call_between_two_rounds_is_finished_while_the_server_drains() {
    for command in ["restart", "undeploy"] {
        let mut world = World::new();
        let link = world.modern(server("a"));
        let call = world.call("a", "wait");
        let first = world.sent(link).remove(0);
        world.command(|id| match command {
            "restart" => McpCommand::Restart {
                id,
                server: "a".to_owned(),
            },
            _ => McpCommand::Undeploy {
                id,
                server: "a".to_owned(),
            },
        });
        let round = json!({"resultType": "input_required", "requestState": "s1"});
        world.say(link, answer(&first, round));
        world.pass(Duration::from_millis(250));
        let second = world.sent(link).remove(0);
        assert_eq!(second["params"]["requestState"], "s1", "{command}");
        world.say(link, answer(&second, json!({"resultType": "complete"})));
        assert!(world.outcome(call).unwrap().is_ok(), "{command}");
    }
}

#[test]
fn a_call_between_two_rounds_is_never_taken_to_another_incarnation() {
    let mut config = server("a");
    config.limits.in_flight = 1;
    config.limits.round_pause = Duration::ZERO;
    let mut world = World::new();
    let link = world.modern(config);
    let (first, second) = (world.call("a", "wait"), world.call("a", "t"));
    let asked = world.sent(link).remove(0);
    let round = json!({"resultType": "input_required", "requestState": "s1"});
    world.wrote(link, 1);
    world.say(link, answer(&asked, round));
    world.command(|id| McpCommand::Restart {
        id,
        server: "a".to_owned(),
    });
    world.exit(link, Exit::Code(0));
    let lost = world.outcome(first).unwrap();
    assert!(matches!(
        lost,
        Err(CallError::ServerGone {
            sent: Sent::Unknown,
            ..
        })
    ));
    assert!(
        world.outcome(second).is_none(),
        "it was never sent, and waits"
    );
}

#[test]
fn a_server_on_its_way_out_asks_in_vain() {
    let mut world = handling();
    let link = world.modern(server("a"));
    let call = world.call("a", "book");
    let first = world.sent(link).remove(0);
    world.feed(Signal::Eof { link });
    let round = json!({"resultType": "input_required", "inputRequests": {
        "who": {"method": "elicitation/create", "params": {}},
    }});
    world.say(link, answer(&first, round));
    assert!(asked(&mut world).is_none());
    assert!(world.outcome(call).unwrap().is_err());
}

#[test]
fn a_question_that_nobody_answers_is_refused_in_time() {
    let mut world = handling();
    let mut config = server("a");
    config.limits.timeout_max = Duration::from_secs(100);
    config.limits.inputs = 1;
    let link = world.legacy(config, "2025-11-25");
    let question =
        |id| json!({"jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": {}});
    world.say(link, question(9));
    let (input, _) = asked(&mut world).unwrap();
    world.pass(Duration::from_secs(99));
    assert!(!withdrawn(&world, input));
    world.pass(Duration::from_secs(1));
    assert!(withdrawn(&world, input));
    let refusal = world.sent(link).remove(0);
    assert_eq!(refusal["id"], 9);
    assert_eq!(refusal["error"]["message"], "not answered within 100s");
    assert_eq!(
        reply_with(&mut world, input, Ok("{}")),
        Err(CommandError::NoSuchInput)
    );
    // Its place is free, and one that was answered has no deadline left.
    world.say(link, question(10));
    let (input, _) = asked(&mut world).unwrap();
    assert_eq!(reply_with(&mut world, input, Ok("{}")), Ok(Reply::Done));
    assert_eq!(world.sent(link).len(), 1);
    assert_eq!(world.fleet.poll_timeout(), None);
}
