//! A system that has little to give.
#![cfg(target_os = "linux")]

use std::{fs::File, process::Stdio};

use crate::fixture::{PROGRAM, Place, Said, words};

const CALL: [&str; 4] = ["call", "fleet.json", "w", "count_words"];
const TEXT: &str = r#"{"text":"one two three"}"#;

const COUNTED: &str = r#"{"words":3}"#;

fn full() -> Stdio {
    File::options()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .into()
}

#[test]
fn f65_a_full_disk_ends_the_journal_and_nothing_else() {
    let place = Place::with_servers(&words("w", 0));
    let said = place.run(&[&["--journal", "/dev/full"], &CALL[..], &[TEXT]].concat());
    said.ended(0)
        .complains("the journal cannot be written")
        .complains("No space left on device");
    assert_eq!(said.out.trim(), COUNTED);
}

#[test]
fn f65_a_full_disk_below_the_log_drops_the_log_alone() {
    let place = Place::with_servers(&words("w", 0));
    let mut command = place.command(&[&["--log-level", "trace"], &CALL[..], &[TEXT]].concat());
    let said = Said::from(command.stderr(full()).output().unwrap());
    said.ended(0);
    assert_eq!(said.out.trim(), COUNTED);
}

#[test]
fn f65_a_result_for_which_there_is_no_room_is_a_failure_that_says_so() {
    let place = Place::with_servers(&words("w", 0));
    let mut command = place.command(&[&CALL[..], &[TEXT]].concat());
    command.stdout(full()).stderr(Stdio::piped());
    let said = Said::from(command.spawn().unwrap().wait_with_output().unwrap());
    assert!(said.code.is_some_and(|code| code != 0), "{said:?}");
    said.complains("No space left on device");
}

#[test]
fn f71_without_any_environment_servers_start_all_the_same() {
    let program = format!("\"w\": {{ \"command\": {PROGRAM:?}, \"args\": [\"__demo-server\"] }}");
    // The shell is found where a system without PATH looks for it.
    let wrapped = format!(
        "\"w\": {{ \"command\": \"sh\", \"args\": [\"-c\", \"exec {PROGRAM} __demo-server\"] }}"
    );
    for server in [program, wrapped] {
        let place = Place::with_servers(&server);
        let mut command = place.command(&[&CALL[..], &[TEXT]].concat());
        let said = Said::from(command.env_clear().output().unwrap());
        said.ended(0);
        assert_eq!(said.out.trim(), COUNTED, "{server}");
    }
}

#[test]
fn f71_a_server_sees_a_minimal_environment_where_there_is_none() {
    let place = Place::with_tool(
        "",
        r#"say '"id":'$id',"result":{"content":[{"type":"text","text":"'"$(env -u PWD -u _ -u SHLVL -u OLDPWD | sort | tr '\n' ' ')"'"}]}'"#,
    );
    let mut command = place.command(&["call", "fleet.json", "s", "t"]);
    let said = Said::from(command.env_clear().output().unwrap());
    said.ended(0);
    let variables: Vec<_> = said.out.split_whitespace().collect();
    assert_eq!(variables.len(), 2, "{variables:?}");
    assert!(variables[0].starts_with("MCP_FLEET_LINK="), "{variables:?}");
    assert_eq!(variables[1], "MCP_FLEET_SERVER=s");
}
