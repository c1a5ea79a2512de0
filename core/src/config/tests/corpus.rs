//! The seeds of the fuzz target, and what becomes of each.

use proptest::{prelude::*, strategy::Strategy};

use super::*;
use crate::fuzzing;

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the seeds are shared with the fuzzer, as files"
)]
fn every_seed_keeps_its_outcome() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/config");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    paths.sort();
    assert!(paths.len() >= 25);
    let mut outcomes = String::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        fuzzing::config(text.as_bytes());
        let name = path.file_name().unwrap().to_str().unwrap();
        let outcome = match read(name, &text, &environment) {
            Ok(loaded) => {
                let outline = |server: &ServerConfig| {
                    let ServerConfig {
                        name,
                        kind,
                        enabled,
                        limits,
                        ..
                    } = server;
                    let (timeout, in_flight) = (limits.timeout, limits.in_flight);
                    format!("{name} {kind:?} {enabled} {timeout:?} {in_flight}\n")
                };
                let servers: Vec<String> = loaded.config.servers.iter().map(outline).collect();
                format!(
                    "ok\n{}{}",
                    servers.concat(),
                    shown(&loaded.warnings).join("\n")
                )
            }
            Err(problems) => problems.to_string(),
        };
        outcomes.push_str(&format!("== {name}: {outcome}\n"));
    }
    insta::assert_snapshot!(outcomes);
}

/// Values that look like a file of ours often enough to reach every rule.
fn json(depth: u32) -> impl Strategy<Value = String> {
    let key = prop_oneof![
        prop::sample::select(KEYS).prop_map(|key| key.name.to_owned()),
        prop::sample::select(&["comand", "a", "A", "ü", "X-Key", "", "a b", "timeout"][..])
            .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|flag| flag.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| if number.is_finite() {
            number.to_string()
        } else {
            "0".into()
        }),
        prop::sample::select(
            &[
                "~/x",
                "${HOME}",
                "${NO}",
                "${",
                "$${",
                "http://h/",
                "file:///a",
                "a b",
                "\\u0000",
                "sse",
                "\\ud83d\\ude00${X}"
            ][..]
        )
        .prop_map(|text| format!("\"{text}\"")),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(depth, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|list| format!("[{}]", list.join(",\n"))),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|entries| {
                let entries: Vec<String> = entries
                    .into_iter()
                    .map(|(key, value)| {
                        format!("{}: {value}", serde_json::to_string(&key).unwrap())
                    })
                    .collect();
                format!("{{ {} }}", entries.join(",\r\n"))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_json_is_read_without_panic(text in json(6)) {
        fuzzing::config(text.as_bytes());
    }

    #[test]
    fn any_server_is_read_without_panic(body in json(3)) {
        fuzzing::config(format!("{{ \"mcpServers\": {{ \"s\": {body} }}, \"fleet\": {body} }}").as_bytes());
    }

    #[test]
    fn any_text_is_read_without_panic(text in "(\\PC|[\\r\\n\\{\\}\":,/*\\[\\]\\\\$]){0,80}") {
        fuzzing::config(text.as_bytes());
    }
}

#[test]
fn deep_nesting_is_refused_and_not_followed_to_the_end_of_the_stack() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let text = open.repeat(100_000) + "1" + &close.repeat(100_000);
        let problems = load(&text).unwrap_err();
        assert_eq!(problems.errors.len(), 1);
        assert_eq!(
            problems.errors[0].message,
            "objects and lists are nested too deep"
        );
    }
}
