//! Which era a server speaks.

use std::time::Duration;

use mcp_fleet_core::{
    CommandError, Exit, Failure, McpCommand, Reply, Revision, ServerState, Signal, config::Kind,
};
use serde_json::json;

use crate::world::{World, answer, discovered, error, initialized, server};

fn revision(world: &mut World) -> Option<Revision> {
    let id = world.command(|id| McpCommand::ListServers { id });
    let Some(Ok(Reply::Servers(all))) = world.reply(id) else {
        panic!()
    };
    all[0].revision
}

#[test]
fn the_probe_comes_first_and_carries_the_whole_envelope() {
    let mut world = World::new();
    let (link, id) = world.deploy("a");
    let probe = world.sent(link).remove(0);
    assert_eq!(probe["method"], "server/discover");
    let meta = &probe["params"]["_meta"];
    assert_eq!(
        meta["io.modelcontextprotocol/protocolVersion"],
        "2026-07-28"
    );
    assert_eq!(
        meta["io.modelcontextprotocol/clientCapabilities"],
        json!({})
    );
    assert_eq!(
        meta["io.modelcontextprotocol/clientInfo"]["name"],
        "mcp-fleet"
    );
    world.say(link, answer(&probe, discovered(json!({}))));
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    assert!(
        world.sent(link).is_empty(),
        "a modern session has no handshake"
    );
    let want = [
        ServerState::Starting,
        ServerState::Probing,
        ServerState::Ready,
    ];
    assert_eq!(world.states("a"), want);
    assert_eq!(revision(&mut world), Some(Revision::V2026_07_28));
}

#[test]
fn any_error_that_is_not_modern_falls_back_to_initialize() {
    for code in [-32601, -32602, -32000, -32603, -1, 404, -32700] {
        let mut world = World::new();
        let (link, id) = world.deploy("a");
        let probe = world.sent(link).remove(0);
        world.say(link, error(&probe, code, "no"));
        let initialize = world.sent(link).remove(0);
        assert_eq!(initialize["method"], "initialize", "{code}");
        assert_eq!(initialize["params"]["protocolVersion"], "2025-11-25");
        assert_ne!(initialize["id"], probe["id"]);
        assert!(
            initialize["params"].get("_meta").is_none(),
            "no modern envelope in a handshake"
        );
        world.say(
            link,
            answer(&initialize, initialized("2025-06-18", json!({}))),
        );
        let sent = world.sent(link);
        assert_eq!(
            sent,
            [json!({"jsonrpc": "2.0", "method": "notifications/initialized"})]
        );
        assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
        assert_eq!(revision(&mut world), Some(Revision::V2025_06_18));
    }
}

#[test]
fn a_garbage_result_falls_back_to_initialize() {
    for garbage in [
        json!({}),
        json!(null),
        json!("hello"),
        json!({"supportedVersions": 7}),
    ] {
        let mut world = World::new();
        let (link, _) = world.deploy("a");
        let probe = world.sent(link).remove(0);
        world.say(link, answer(&probe, garbage));
        assert_eq!(world.sent(link)[0]["method"], "initialize");
    }
}

#[test]
fn silence_falls_back_to_initialize() {
    let mut world = World::new();
    let (link, id) = world.deploy("a");
    world.sent(link);
    world.pass(Duration::from_secs(5));
    let initialize = world.sent(link).remove(0);
    assert_eq!(initialize["method"], "initialize");
    world.say(
        link,
        answer(&initialize, initialized("2025-11-25", json!({}))),
    );
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
}

#[test]
fn a_slow_modern_server_is_known_by_its_late_answer() {
    let mut world = World::new();
    let (link, id) = world.deploy("a");
    let probe = world.sent(link).remove(0);
    world.pass(Duration::from_secs(6));
    let initialize = world.sent(link).remove(0);
    world.say(link, answer(&probe, discovered(json!({}))));
    world.say(link, error(&initialize, -32022, "modern only"));
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    assert_eq!(revision(&mut world), Some(Revision::V2026_07_28));
}

#[test]
fn a_child_that_dies_of_the_probe_is_started_again_and_initialized() {
    let mut world = World::new();
    let (link, id) = world.deploy("a");
    world.sent(link);
    world.exit(link, Exit::Code(0));
    let second = world.opened();
    assert_eq!(second.incarnation, 2);
    world.feed(Signal::Opened {
        link: second,
        pid: None,
    });
    let initialize = world.sent(second).remove(0);
    assert_eq!(initialize["method"], "initialize");
    world.say(
        second,
        answer(&initialize, initialized("2024-11-05", json!({}))),
    );
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    assert_eq!(revision(&mut world), Some(Revision::V2024_11_05));
}

#[test]
fn attached_streams_that_end_at_the_probe_are_not_opened_again() {
    let mut world = World::new();
    let mut config = server("a");
    config.kind = Kind::Attached;
    let (link, id) = world.deploy_config(config);
    world.sent(link);
    world.feed(Signal::Eof { link });
    world.feed(Signal::Closed { link });
    let Some(Err(CommandError::Failed { failure, .. })) = world.reply(id) else {
        panic!()
    };
    assert!(matches!(failure, Failure::EndedEarly { .. }), "{failure:?}");
}

#[test]
fn a_child_that_dies_of_the_handshake_too_has_failed() {
    let mut world = World::new();
    let (link, id) = world.deploy("a");
    let bytes = bytes::Bytes::from_static(b"Traceback\nKeyError: 'TOKEN'\n");
    world.feed(Signal::Stderr {
        link,
        bytes: bytes.clone(),
        dropped: 0,
    });
    world.exit(link, Exit::Code(1));
    let second = world.opened();
    world.feed(Signal::Opened {
        link: second,
        pid: None,
    });
    world.feed(Signal::Stderr {
        link: second,
        bytes,
        dropped: 0,
    });
    world.exit(second, Exit::Code(1));
    let Some(Err(CommandError::Failed { failure, .. })) = world.reply(id) else {
        panic!()
    };
    let Failure::EndedEarly { exit, stderr_tail } = &failure else {
        panic!("{failure:?}")
    };
    assert_eq!(*exit, Some(Exit::Code(1)));
    assert!(stderr_tail.ends_with("KeyError: 'TOKEN'"), "{stderr_tail}");
}

#[test]
fn a_recognised_modern_error_never_leads_to_initialize() {
    for code in [-32020, -32021] {
        let mut world = World::new();
        let (link, _) = world.deploy("a");
        let probe = world.sent(link).remove(0);
        world.say(link, error(&probe, code, "modern trouble"));
        assert!(world.sent(link).is_empty(), "{code}");
    }
}

#[test]
fn a_version_error_is_retried_once_and_never_loops() {
    let mut world = World::new();
    let (link, id) = world.deploy("a");
    let probe = world.sent(link).remove(0);
    let refuse = |request: &serde_json::Value| {
        json!({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32022, "message": "v",
            "data": {"supported": ["2026-07-28"], "requested": "2026-07-28"}}})
    };
    world.say(link, refuse(&probe));
    let again = world.sent(link).remove(0);
    assert_eq!(again["method"], "server/discover");
    world.say(link, refuse(&again));
    assert!(world.sent(link).is_empty());
    world.exit(link, Exit::Code(0));
    let Some(Err(CommandError::Failed { failure, .. })) = world.reply(id) else {
        panic!()
    };
    assert_eq!(
        failure,
        Failure::Incompatible {
            offered: vec!["2026-07-28".into()]
        }
    );
}

#[test]
fn a_version_error_that_lists_only_legacy_revisions_leads_to_initialize() {
    let mut world = World::new();
    let (link, _) = world.deploy("a");
    let probe = world.sent(link).remove(0);
    world.say(
        link,
        json!({"jsonrpc": "2.0", "id": probe["id"], "error": {"code": -32022, "message": "v",
            "data": {"supported": ["2025-06-18", "2025-03-26"], "requested": "2026-07-28"}}}),
    );
    let initialize = world.sent(link).remove(0);
    assert_eq!(initialize["method"], "initialize");
    assert_eq!(initialize["params"]["protocolVersion"], "2025-06-18");
}

#[test]
fn discovered_versions_that_are_all_legacy_lead_to_initialize() {
    let mut world = World::new();
    let (link, _) = world.deploy("a");
    let probe = world.sent(link).remove(0);
    let mut result = discovered(json!({}));
    result["supportedVersions"] = json!(["2025-11-25", "2031-01-01"]);
    world.say(link, answer(&probe, result));
    assert_eq!(world.sent(link)[0]["method"], "initialize");
}

#[test]
fn an_unknown_or_modern_version_from_initialize_is_refused() {
    for version in ["1999-01-01", "2026-07-28", ""] {
        let mut world = World::new();
        let (link, id) = world.deploy("a");
        let probe = world.sent(link).remove(0);
        world.say(link, error(&probe, -32601, "no"));
        let initialize = world.sent(link).remove(0);
        world.say(link, answer(&initialize, initialized(version, json!({}))));
        assert!(
            world.sent(link).is_empty(),
            "no `initialized` after a refusal"
        );
        world.exit(link, Exit::Code(0));
        let Some(Err(CommandError::Failed { failure, .. })) = world.reply(id) else {
            panic!()
        };
        assert_eq!(
            failure,
            Failure::Incompatible {
                offered: vec![version.into()]
            }
        );
    }
}

#[test]
fn a_ping_before_the_handshake_is_over_is_answered() {
    let mut world = World::new();
    let (link, _) = world.deploy("a");
    let probe = world.sent(link).remove(0);
    world.say(link, error(&probe, -32601, "no"));
    world.sent(link);
    world.say(
        link,
        json!({"jsonrpc": "2.0", "id": "p-1", "method": "ping"}),
    );
    assert_eq!(
        world.sent(link),
        [json!({"jsonrpc": "2.0", "id": "p-1", "result": {}})]
    );
}

#[test]
fn a_legacy_verdict_is_remembered_for_a_while_and_then_asked_anew() {
    let mut world = World::new();
    let link = world.legacy(server("a"), "2025-11-25");
    let restart = |world: &mut World, link| {
        world.command(|id| McpCommand::Restart {
            id,
            server: "a".into(),
        });
        world.exit(link, Exit::Code(0));
        let next = world.opened();
        world.feed(Signal::Opened {
            link: next,
            pid: None,
        });
        (next, world.sent(next).remove(0))
    };
    let (second, first_word) = restart(&mut world, link);
    assert_eq!(first_word["method"], "initialize");
    world.say(
        second,
        answer(&first_word, initialized("2025-11-25", json!({}))),
    );
    world.clear();
    world.pass(Duration::from_secs(3600));
    let (_, first_word) = restart(&mut world, second);
    assert_eq!(first_word["method"], "server/discover");
}

#[test]
fn a_server_that_sends_us_back_and_forth_between_the_eras_has_failed() {
    let mut world = World::new();
    let (link, id) = world.deploy("a");
    let mut sent = Vec::new();
    for _ in 0..20 {
        let Some(request) = world.sent(link).pop() else {
            break;
        };
        let method = request["method"].as_str().unwrap().to_owned();
        if method == "initialize" {
            let data = json!({"supported": ["2026-07-28"]});
            let refusal = json!({"code": -32022, "message": "v", "data": data});
            world.say(
                link,
                json!({"jsonrpc": "2.0", "id": request["id"], "error": refusal}),
            );
        } else {
            world.say(link, error(&request, -32601, "what?"));
        }
        sent.push(method);
    }
    assert_eq!(sent, ["server/discover", "initialize", "server/discover"]);
    world.exit(link, Exit::Code(0));
    assert!(matches!(world.reply(id), Some(Err(_))));
}

#[test]
fn a_server_that_named_a_modern_revision_is_never_initialized() {
    let mut world = World::new();
    let (link, id) = world.deploy("a");
    let probe = world.sent(link).remove(0);
    let data = json!({"supported": ["2026-07-28"]});
    let refusal = json!({"code": -32022, "message": "v", "data": data});
    world.say(
        link,
        json!({"jsonrpc": "2.0", "id": probe["id"], "error": refusal}),
    );
    assert_eq!(world.sent(link)[0]["method"], "server/discover");
    world.pass(Duration::from_secs(5));
    assert!(world.sent(link).is_empty(), "silence is no legacy answer");
    world.exit(link, Exit::Code(0));
    let Some(Err(CommandError::Failed { failure, .. })) = world.reply(id) else {
        panic!()
    };
    assert!(matches!(failure, Failure::Handshake { .. }), "{failure}");
}

#[test]
fn a_server_that_died_of_the_probe_is_not_probed_again_for_a_while() {
    let mut world = World::new();
    let (link, _) = world.deploy("a");
    world.exit(link, Exit::Code(1));
    let link = world.opened();
    world.feed(Signal::Opened { link, pid: None });
    world.sent(link).remove(0);
    let initialize = json!({"id": 1});
    let result = initialized("2025-06-18", json!({}));
    world.say(link, answer(&initialize, result));
    world.command(|id| McpCommand::Restart {
        id,
        server: "a".to_owned(),
    });
    world.exit(link, Exit::Code(0));
    let link = world.opened();
    world.feed(Signal::Opened { link, pid: None });
    assert_eq!(world.sent(link)[0]["method"], "initialize");
}

#[test]
fn a_legacy_verdict_that_led_to_a_failure_is_forgotten() {
    let mut world = World::new();
    let link = world.legacy(server("a"), "2025-06-18");
    world.exit(link, Exit::Code(1));
    for method in ["initialize", "server/discover"] {
        world.command(|id| McpCommand::Restart {
            id,
            server: "a".to_owned(),
        });
        let link = world.opened();
        world.feed(Signal::Opened { link, pid: None });
        let request = world.sent(link).remove(0);
        assert_eq!(request["method"], method);
        world.say(link, error(&request, -32601, "it was upgraded"));
        world.exit(link, Exit::Code(0));
        world.clear();
    }
}

#[test]
fn a_late_answer_to_a_question_that_was_put_again_settles_nothing_but_a_modern_era() {
    for well in [false, true] {
        let mut world = World::new();
        let (link, id) = world.deploy("a");
        let first = world.sent(link).remove(0);
        world.pass(Duration::from_secs(6));
        let initialize = world.sent(link).remove(0);
        let data = json!({"supported": ["2026-07-28"]});
        let refusal = json!({"code": -32022, "message": "v", "data": data});
        world.say(
            link,
            json!({"jsonrpc": "2.0", "id": initialize["id"], "error": refusal}),
        );
        let second = world.sent(link).remove(0);
        assert_eq!(second["method"], "server/discover");
        if well {
            world.say(link, answer(&first, discovered(json!({}))));
        } else {
            world.say(link, error(&first, -32601, "what?"));
            assert_eq!(world.state("a"), ServerState::Probing);
            world.say(link, answer(&second, discovered(json!({}))));
        }
        assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
        assert_eq!(revision(&mut world), Some(Revision::V2026_07_28));
    }
}
