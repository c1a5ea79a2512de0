//! What a bad file is told: the message of every rule, word by word.

use super::*;

#[test]
fn a_server_needs_a_command_or_an_url() {
    assert_eq!(
        errors(&one("{}")),
        [
            r#"mcp.json:1:19: mcpServers.s: the server has neither `command` nor `url`
  hint: add `"command"` for a program, or `"url"` for an endpoint"#
        ]
    );
    assert_eq!(
        errors(&one(r#"{ "args": ["a"] }"#)),
        [
            r#"mcp.json:1:19: mcpServers.s: the server has neither `command` nor `url`
  hint: add `"command"` for a program, or `"url"` for an endpoint"#
        ]
    );
    assert_eq!(
        errors(&one(r#"{ "command": null }"#)),
        [
            r#"mcp.json:1:19: mcpServers.s: the server has neither `command` nor `url`
  hint: add `"command"` for a program, or `"url"` for an endpoint"#
        ]
    );
}

#[test]
fn a_server_has_not_both_command_and_url() {
    assert_eq!(
        errors(&one(r#"{ "command": "a", "url": "http://h/" }"#)),
        [
            r#"mcp.json:2:19: mcpServers.s.url: a server has either `command` or `url`, not both
  hint: remove one: `command` starts a program, `url` names an endpoint"#
        ]
    );
}

#[test]
fn a_server_is_an_object() {
    assert_eq!(
        errors(&one(r#""npx""#)),
        [
            r#"mcp.json:2:1: mcpServers.s: expected an object, found a string
  hint: write `{ "key": value }`"#
        ]
    );
    assert_eq!(
        errors(&one("null")),
        [
            r#"mcp.json:2:1: mcpServers.s: expected an object, found null
  hint: write `{ "key": value }`"#
        ]
    );
    assert_eq!(
        errors(&one("[{}]")),
        [
            r#"mcp.json:2:1: mcpServers.s: expected an object, found a list
  hint: write `{ "key": value }`"#
        ]
    );
}

#[test]
fn a_command_is_a_filled_string() {
    assert_eq!(
        errors(&one(r#"{ "command": 5 }"#)),
        [
            r#"mcp.json:2:14: mcpServers.s.command: expected a string, found a number
  hint: put it in double quotes"#
        ]
    );
    assert_eq!(
        errors(&one(r#"{ "command": ["npx", "-y"] }"#)),
        [
            r#"mcp.json:2:14: mcpServers.s.command: expected a string, found a list
  hint: write one string in double quotes"#
        ]
    );
    assert_eq!(
        errors(&one(r#"{ "command": "" }"#)),
        [r#"mcp.json:2:14: mcpServers.s.command: the command is empty
  hint: write a path, or the name of a program on `PATH`"#]
    );
    assert_eq!(
        errors(&one(r#"{ "command": " " }"#)),
        [r#"mcp.json:2:14: mcpServers.s.command: the command is empty
  hint: write a path, or the name of a program on `PATH`"#]
    );
}

#[test]
fn a_command_that_looks_like_a_shell_line_is_warned_of() {
    assert_eq!(
        warnings(&one(r#"{ "command": "npx -y foo" }"#)),
        [
            r#"mcp.json:2:14: mcpServers.s.command: the command holds spaces, and is taken whole as the name of a program
  hint: keep the program in `command`, and write the words after it as `args`: `["..", ".."]`"#
        ]
    );
    assert_eq!(
        warnings(&one(r#"{ "command": "/bin/my server --flag" }"#)),
        [
            r#"mcp.json:2:14: mcpServers.s.command: the command holds spaces, and is taken whole as the name of a program
  hint: keep the program in `command`, and write the words after it as `args`: `["..", ".."]`"#
        ]
    );
}

#[test]
fn args_are_strings() {
    assert_eq!(
        errors(&one(r#"{ "command": "a", "args": "-y foo" }"#)),
        [
            r#"mcp.json:2:27: mcpServers.s.args: expected a list, found a string
  hint: write `["one", "two"]`"#
        ]
    );
    assert_eq!(
        errors(&one(
            r#"{ "command": "a", "args": ["-p", 8080, true, null, {}] }"#
        )),
        [
            r#"mcp.json:2:34: mcpServers.s.args[1]: expected a string, found a number
  hint: put it in double quotes"#,
            r#"mcp.json:2:40: mcpServers.s.args[2]: expected a string, found true
  hint: put it in double quotes"#,
            r#"mcp.json:2:46: mcpServers.s.args[3]: expected a string, found null
  hint: remove it, or write `""`"#,
            r#"mcp.json:2:52: mcpServers.s.args[4]: expected a string, found an object
  hint: write one string in double quotes"#
        ]
    );
}

#[test]
fn values_of_env_are_strings() {
    assert_eq!(
        errors(&one(
            r#"{ "command": "a", "env": { "PORT": 8080, "DEBUG": false, "X": null, "Y": [] } }"#
        )),
        [
            r#"mcp.json:2:36: mcpServers.s.env.PORT: expected a string, found a number
  hint: put it in double quotes"#,
            r#"mcp.json:2:51: mcpServers.s.env.DEBUG: expected a string, found false
  hint: put it in double quotes"#,
            r#"mcp.json:2:63: mcpServers.s.env.X: expected a string, found null
  hint: remove it, or write `""`"#,
            r#"mcp.json:2:74: mcpServers.s.env.Y: expected a string, found a list
  hint: write one string in double quotes"#
        ]
    );
    assert_eq!(
        errors(&one(r#"{ "command": "a", "env": ["A=b"] }"#)),
        [
            r#"mcp.json:2:26: mcpServers.s.env: expected an object, found a list
  hint: write `{ "key": value }`"#
        ]
    );
}

#[test]
fn names_of_env_are_names() {
    assert_eq!(
        errors(&one(
            r#"{ "command": "a", "env": { "": "x", "A=B": "x", "A\u0000": "x" } }"#
        )),
        [
            r#"mcp.json:2:28: mcpServers.s.env[""]: the name of a variable is empty, or holds `=` or a NUL character
  hint: write `"NAME": "value"`"#,
            r#"mcp.json:2:37: mcpServers.s.env["A=B"]: the name of a variable is empty, or holds `=` or a NUL character
  hint: write `"NAME": "value"`"#,
            r#"mcp.json:2:49: mcpServers.s.env["A\0"]: the name of a variable is empty, or holds `=` or a NUL character
  hint: write `"NAME": "value"`"#
        ]
    );
}

#[test]
fn nul_characters_are_refused() {
    assert_eq!(
        errors(&one(
            r#"{ "command": "a\u0000", "args": ["\u0000"], "env": { "A": "\u0000" }, "cwd": "\u0000" }"#
        )),
        [
            r#"mcp.json:2:14: mcpServers.s.command: the string holds a NUL character
  hint: remove the `\u0000`"#,
            r#"mcp.json:2:34: mcpServers.s.args[0]: the string holds a NUL character
  hint: remove the `\u0000`"#,
            r#"mcp.json:2:59: mcpServers.s.env.A: the string holds a NUL character
  hint: remove the `\u0000`"#,
            r#"mcp.json:2:78: mcpServers.s.cwd: the string holds a NUL character
  hint: remove the `\u0000`"#
        ]
    );
}

#[test]
fn a_type_is_one_of_four() {
    assert_eq!(
        errors(&one(r#"{ "type": "websocket", "url": "http://h/" }"#)),
        [r#"mcp.json:2:11: mcpServers.s.type: unknown type of server
  hint: write `stdio`, `http`, `streamable-http` or `sse`"#]
    );
    assert_eq!(
        errors(&one(r#"{ "type": 1, "command": "a" }"#)),
        [
            r#"mcp.json:2:11: mcpServers.s.type: expected a string, found a number
  hint: put it in double quotes"#
        ]
    );
}

#[test]
fn a_type_agrees_with_the_other_keys() {
    assert_eq!(
        errors(&one(r#"{ "type": "http", "command": "a" }"#)),
        [
            r#"mcp.json:2:3: mcpServers.s.type: the type is that of an endpoint, but `command` is given
  hint: remove `type`, or write `url` in place of `command`"#
        ]
    );
    assert_eq!(
        errors(&one(r#"{ "type": "stdio", "url": "http://h/" }"#)),
        [
            r#"mcp.json:2:3: mcpServers.s.type: the type is that of a program, but `url` is given
  hint: write `http` as the `type`, or `command` in place of `url`"#
        ]
    );
}

#[test]
fn the_old_transport_is_warned_of() {
    assert_eq!(
        warnings(&one(r#"{ "type": "sse", "url": "http://h/sse" }"#)),
        [
            r#"mcp.json:2:11: mcpServers.s.type: the transport `sse` is deprecated; Streamable HTTP is tried in its place
  hint: ask for the server's Streamable HTTP endpoint, and write `http`"#
        ]
    );
}

#[test]
fn an_url_is_an_address_of_the_web() {
    assert_eq!(
        errors(&one(r#"{ "url": "ws://h/" }"#)),
        [
            r#"mcp.json:2:10: mcpServers.s.url: the address does not begin with `http://` or `https://`
  hint: write it like `https://host/mcp` or `http://127.0.0.1:8080/mcp`"#
        ]
    );
    assert_eq!(
        errors(&one(r#"{ "url": "http://${TOKEN}:x/" }"#)),
        [
            r#"mcp.json:2:10: mcpServers.s.url: the address has a malformed port
  hint: write a port of 1 to 65535"#
        ]
    );
    assert_eq!(
        errors(&one(r#"{ "url": 5 }"#)),
        [
            r#"mcp.json:2:10: mcpServers.s.url: expected a string, found a number
  hint: put it in double quotes"#
        ]
    );
}

#[test]
fn headers_can_be_sent() {
    assert_eq!(
        errors(&one(
            r#"{ "url": "http://h/", "headers": { "A B": "x", "X-A": "1",
"x-a": "2", "B": "${BROKEN}", "C": 1 } }"#
        )),
        [
            r#"mcp.json:2:36: mcpServers.s.headers["A B"]: this is not the name of a header
  hint: use letters, digits and `-`, as in `X-Api-Key`"#,
            r#"mcp.json:3:1: mcpServers.s.headers.x-a: the same header stands on line 2 as `X-A`
  hint: keep one of the two"#,
            r#"mcp.json:3:18: mcpServers.s.headers.B: the header holds a line break or a control character
  hint: write it on one line; a variable may end in a line break"#,
            r#"mcp.json:3:36: mcpServers.s.headers.C: expected a string, found a number
  hint: put it in double quotes"#
        ]
    );
}

#[test]
fn keys_of_a_program_are_idle_on_an_endpoint() {
    assert_eq!(
        warnings(&one(
            r#"{ "url": "http://h/", "args": ["x"], "env": { "A": "b" }, "cwd": "/" }"#
        )),
        [
            r#"mcp.json:2:23: mcpServers.s.args: has no effect on an endpoint
  hint: remove it, or write `command` in place of `url`"#,
            r#"mcp.json:2:38: mcpServers.s.env: has no effect on an endpoint
  hint: remove it, or write `command` in place of `url`"#,
            r#"mcp.json:2:59: mcpServers.s.cwd: has no effect on an endpoint
  hint: remove it, or write `command` in place of `url`"#
        ]
    );
}

#[test]
fn keys_of_an_endpoint_are_idle_on_a_program() {
    assert_eq!(
        warnings(&one(r#"{ "command": "a", "headers": { "A": "b" } }"#)),
        [
            r#"mcp.json:2:19: mcpServers.s.headers: has no effect on a program
  hint: remove it, or write `url` in place of `command`"#
        ]
    );
}

#[test]
fn switches_agree() {
    assert_eq!(
        errors(&one(
            r#"{ "command": "a", "enabled": true, "disabled": true }"#
        )),
        [
            r#"mcp.json:2:36: mcpServers.s.disabled: contradicts `enabled`: both are true
  hint: keep one of them"#
        ]
    );
    assert_eq!(
        errors(&one(r#"{ "command": "a", "disabled": "yes" }"#)),
        [
            r#"mcp.json:2:31: mcpServers.s.disabled: expected true or false, found a string
  hint: write `true` or `false`, without quotes"#
        ]
    );
}

#[test]
fn numbers_are_whole_and_within_their_range() {
    assert_eq!(
        errors(&one(
            r#"{ "command": "a", "timeoutMs": 0, "maxQueue": -1, "maxPages": 1.5, "maxInputs": 1e3,
"maxRounds": "3", "logBytes": 99999999999999999999999, "exitWaitMs": 300001, "maxInFlight": true }"#
        )),
        [
            r#"mcp.json:2:32: mcpServers.s.timeoutMs: 0 is too small
  hint: write a whole number of 1 to 86400000 (ms), without quotes"#,
            r#"mcp.json:2:47: mcpServers.s.maxQueue: the number is negative
  hint: write a whole number of 0 to 1000000 (count), without quotes"#,
            r#"mcp.json:2:63: mcpServers.s.maxPages: expected a whole number, found a fraction or an exponent
  hint: write a whole number of 1 to 100000 (count), without quotes"#,
            r#"mcp.json:2:81: mcpServers.s.maxInputs: expected a whole number, found a fraction or an exponent
  hint: write a whole number of 0 to 65536 (count), without quotes"#,
            r#"mcp.json:3:14: mcpServers.s.maxRounds: expected a whole number, found a string
  hint: write a whole number of 0 to 1000 (count), without quotes"#,
            r#"mcp.json:3:31: mcpServers.s.logBytes: the number is too large
  hint: write a whole number of 0 to 67108864 (bytes), without quotes"#,
            r#"mcp.json:3:70: mcpServers.s.exitWaitMs: 300001 is too large
  hint: write a whole number of 0 to 300000 (ms), without quotes"#,
            r#"mcp.json:3:93: mcpServers.s.maxInFlight: expected a whole number, found true
  hint: write a whole number of 1 to 65536 (count), without quotes"#
        ]
    );
}

#[test]
fn a_call_may_take_no_longer_than_its_greatest_time() {
    assert_eq!(
        errors(&one(r#"{ "command": "a", "timeoutMs": 700000 }"#)),
        [
            r#"mcp.json:2:19: mcpServers.s.timeoutMs: `timeoutMs` is 700000, but `timeoutMaxMs` is only 600000
  hint: raise `timeoutMaxMs`, or lower `timeoutMs`"#
        ]
    );
    assert_eq!(
        errors(&one(r#"{ "command": "a", "timeoutMaxMs": 1000 }"#)),
        [
            r#"mcp.json:2:19: mcpServers.s.timeoutMaxMs: `timeoutMs` is 60000, but `timeoutMaxMs` is only 1000
  hint: raise `timeoutMaxMs`, or lower `timeoutMs`"#
        ]
    );
}

#[test]
fn a_probe_as_long_as_the_start_is_warned_of() {
    assert_eq!(
        warnings(&one(r#"{ "command": "a", "startTimeoutMs": 5000 }"#)),
        [
            r#"mcp.json:2:19: mcpServers.s.startTimeoutMs: `probeTimeoutMs` is 5000 of the 5000 of `startTimeoutMs`: a server that ignores the probe never gets to its handshake
  hint: raise `startTimeoutMs`"#
        ]
    );
}

#[test]
fn files_of_variables_are_refused() {
    assert_eq!(
        errors(&one(r#"{ "command": "a", "envFile": ".env" }"#)),
        [
            r#"mcp.json:2:19: mcpServers.s.envFile: files of variables are not read
  hint: write the variables into `env`, or set them where mcp-fleet is started and refer to them as `${NAME}` in `env`"#
        ]
    );
}

#[test]
fn unset_variables_are_errors_where_they_stand() {
    assert_eq!(
        errors(&one(
            r#"{ "command": "${A}", "args": ["x ${B} ${C:-c} ${D}"],
"env": { "E": "${E}" }, "cwd": "\t${F}" }"#
        )),
        [
            r#"mcp.json:2:15: mcpServers.s.command: the environment variable `A` is not set
  hint: set it, or give a default: `${A:-default}`"#,
            r#"mcp.json:2:34: mcpServers.s.args[0]: the environment variable `B` is not set
  hint: set it, or give a default: `${B:-default}`"#,
            r#"mcp.json:2:47: mcpServers.s.args[0]: the environment variable `D` is not set
  hint: set it, or give a default: `${D:-default}`"#,
            r#"mcp.json:3:16: mcpServers.s.env.E: the environment variable `E` is not set
  hint: set it, or give a default: `${E:-default}`"#,
            r#"mcp.json:3:32: mcpServers.s.cwd: the environment variable `F` is not set
  hint: set it, or give a default: `${F:-default}`"#
        ]
    );
    assert_eq!(
        errors(&one(
            r#"{ "url": "http://${G}/", "headers": { "H": "${H}" } }"#
        )),
        [
            r#"mcp.json:2:18: mcpServers.s.url: the environment variable `G` is not set
  hint: set it, or give a default: `${G:-default}`"#,
            r#"mcp.json:2:45: mcpServers.s.headers.H: the environment variable `H` is not set
  hint: set it, or give a default: `${H:-default}`"#
        ]
    );
}

#[test]
fn references_that_mean_nothing_here_are_errors() {
    assert_eq!(
        errors(&one(
            r#"{ "command": "${workspaceFolder}/a", "args": ["${input:key}", "${command:x}", "${A", "${}", "${A:-${B}}"] }"#
        )),
        [
            r#"mcp.json:2:15: mcpServers.s.command: `${workspaceFolder}` is known to editors only
  hint: write the path, or a variable that holds it"#,
            r#"mcp.json:2:48: mcpServers.s.args[0]: `${input:key}` is a prompt of an editor
  hint: write `${NAME}` and set that environment variable"#,
            r#"mcp.json:2:64: mcpServers.s.args[1]: `command:` begins no reference that is known here
  hint: write `${NAME}`, `${NAME:-default}` or `${env:NAME}`; a literal `${` is `$${`"#,
            r#"mcp.json:2:80: mcpServers.s.args[2]: a reference that begins with `${` has no closing `}`
  hint: add the `}`, or write `$${` for a literal `${`"#,
            r#"mcp.json:2:87: mcpServers.s.args[3]: a reference names no variable
  hint: write `${NAME}`, `${NAME:-default}` or `${env:NAME}`; a literal `${` is `$${`"#,
            r#"mcp.json:2:94: mcpServers.s.args[4]: references cannot stand inside one another
  hint: write the default as plain text"#
        ]
    );
}

#[test]
fn unknown_keys_of_a_server_are_warned_of() {
    assert_eq!(
        warnings(&one(
            r#"{ "command": "a", "Args": [], "evn": {}, "autoApprove": [], "timeout": 60, "description": "x" }"#
        )),
        [
            r#"mcp.json:2:19: mcpServers.s.Args: unknown key of a server; it has no effect
  hint: did you mean `args`?"#,
            r#"mcp.json:2:31: mcpServers.s.evn: unknown key of a server; it has no effect
  hint: did you mean `env`?"#,
            r#"mcp.json:2:42: mcpServers.s.autoApprove: unknown key of a server; it has no effect
  hint: remove it, or leave it for the other programs that read this file"#,
            r#"mcp.json:2:61: mcpServers.s.timeout: unknown key of a server; it has no effect
  hint: for the time of a call write `timeoutMs`, in milliseconds"#,
            r#"mcp.json:2:76: mcpServers.s.description: unknown key of a server; it has no effect
  hint: remove it, or leave it for the other programs that read this file"#
        ]
    );
    assert_eq!(
        warnings(&one(
            r#"{ "url": "http://h/", "header": {}, "transport": "http" }"#
        )),
        [
            r#"mcp.json:2:23: mcpServers.s.header: unknown key of a server; it has no effect
  hint: did you mean `headers`?"#,
            r#"mcp.json:2:37: mcpServers.s.transport: unknown key of a server; it has no effect
  hint: write `type`"#
        ]
    );
}

#[test]
fn names_of_servers_are_plain() {
    assert_eq!(
        errors(
            r#"{ "mcpServers": {
"my server": { "command": "a" },
"": { "command": "a" },
"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx": { "command": "a" } } }"#
        ),
        [
            r#"mcp.json:2:1: mcpServers["my server"]: the name of a server is 1 to 64 characters of A-Z a-z 0-9 _ -
  hint: rename it, for instance to `my-server`"#,
            r#"mcp.json:3:1: mcpServers[""]: the name of a server is 1 to 64 characters of A-Z a-z 0-9 _ -
  hint: give the server a name"#,
            r#"mcp.json:4:1: mcpServers.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…: the name of a server is 1 to 64 characters of A-Z a-z 0-9 _ -
  hint: rename it, for instance to `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx`"#
        ]
    );
}

#[test]
fn names_of_servers_differ_in_more_than_case() {
    assert_eq!(
        errors(
            r#"{ "mcpServers": { "files": { "command": "a" },
"Files": { "command": "b" } } }"#
        ),
        [
            r#"mcp.json:2:1: mcpServers.Files: line 1 has the server `files`, and names must differ in more than case
  hint: rename one of the two"#
        ]
    );
    assert_eq!(
        errors(
            r#"{ "mcpServers": { "a": { "command": "a" } },
"servers": { "b": { "command": "b" }, "a": { "command": "a" } } }"#
        ),
        [
            r#"mcp.json:2:39: servers.a: line 1 has the server `a`, and names must differ in more than case
  hint: rename one of the two"#
        ]
    );
}

#[test]
fn keys_stand_only_once() {
    assert_eq!(
        errors(
            r#"{ "mcpServers": { "a": { "command": "a", "args": [],
"args": [] },
"a": { "command": "b" } },
"$schema": { "x": [{ "y": 1, "y": 2 }] },
"mcpServers": {} }"#
        ),
        [
            r#"mcp.json:2:1: mcpServers.a.args: this key stands on line 1 already
  hint: keep one of the two"#,
            r#"mcp.json:3:1: mcpServers.a: this key stands on line 1 already
  hint: keep one of the two"#,
            r#"mcp.json:4:30: $schema.x[0].y: this key stands on line 4 already
  hint: keep one of the two"#,
            r#"mcp.json:5:1: mcpServers: this key stands on line 1 already
  hint: keep one of the two"#
        ]
    );
}

#[test]
fn text_that_is_no_json_is_refused_at_one_place() {
    assert_eq!(
        errors(""),
        [r#"mcp.json:1:1: the file is empty
  hint: write at least `{ "mcpServers": {} }`"#]
    );
    assert_eq!(
        errors(
            r#"  // nothing
"#
        ),
        [r#"mcp.json:1:1: the file is empty
  hint: write at least `{ "mcpServers": {} }`"#]
    );
    assert_eq!(
        errors(
            r#"{
"a": 1
"b": 2 }"#
        ),
        [r#"mcp.json:2:7: expected a comma
  hint: separate the values with `,`"#]
    );
    assert_eq!(
        errors(r#"{ "a" 1 }"#),
        [r#"mcp.json:1:7: expected a colon after the key
  hint: write `"key": value`"#]
    );
    assert_eq!(
        errors(r#"{ "a": }"#),
        [r#"mcp.json:1:8: expected a value, found `}`
  hint: add the value, or close what is open with its own bracket"#]
    );
    assert_eq!(
        errors("{ a: 1 }"),
        [r#"mcp.json:1:3: expected a key in double quotes
  hint: write `"key": value`"#]
    );
    assert_eq!(
        errors("{ 'a': 1 }"),
        [
            r#"mcp.json:1:3: expected double quotes, found a single quote
  hint: write `"` for `'`"#
        ]
    );
    assert_eq!(
        errors(r#"{ "a": [1, 2 }"#),
        [r#"mcp.json:1:14: expected a value, found `}`
  hint: add the value, or close what is open with its own bracket"#]
    );
    assert_eq!(
        errors(r#"{ "a": [1,, 2] }"#),
        [r#"mcp.json:1:11: expected a value, found a comma
  hint: remove one of the commas"#]
    );
    assert_eq!(
        errors(
            r#"{
 "a": {"#
        ),
        [r#"mcp.json:2:7: expected a `}` for the `{` that stands here
  hint: close the object"#]
    );
    assert_eq!(
        errors("[1"),
        [r#"mcp.json:1:1: expected a `]` for the `[` that stands here
  hint: close the list"#]
    );
    assert_eq!(
        errors("{} {}"),
        [r#"mcp.json:1:4: expected the end of the file
  hint: remove what follows the outermost `}`"#]
    );
    assert_eq!(
        errors("/* x"),
        [
            r#"mcp.json:1:1: expected a `*/` for the `/*` that stands here
  hint: close the comment"#
        ]
    );
    assert_eq!(
        errors(
            r#"{ "a": "b }
}"#
        ),
        [
            r#"mcp.json:1:8: the string that begins here is not closed on its line
  hint: add the closing quote; a line break within a string is written `\n`"#
        ]
    );
    assert_eq!(
        errors(r#"{ "a": "C:\Users" }"#),
        [r#"mcp.json:1:11: the escape is unknown
  hint: write a backslash as `\\`, and other characters as they are"#]
    );
    assert_eq!(
        errors(r#"{ "a": "\ud800" }"#),
        [r#"mcp.json:1:9: the escape is no character
  hint: write the character itself"#]
    );
    assert_eq!(
        errors(r#"{ "a": yes }"#),
        [r#"mcp.json:1:8: expected a value, found a bare word
  hint: put strings in double quotes, and check the quotes before this place"#]
    );
    assert_eq!(
        errors(r#"{ "a": 0x10 }"#),
        [r#"mcp.json:1:8: hexadecimal numbers are not allowed
  hint: only comments and commas before a closing bracket are allowed beyond plain JSON"#]
    );
    assert_eq!(
        errors(r#"{ "a": :1 }"#),
        [r#"mcp.json:1:8: expected a value, found a colon
  hint: write `"key": value`, within `{` and `}`"#]
    );
    assert_eq!(
        errors(r#"{ "a": +1 }"#),
        [r#"mcp.json:1:8: unary plus on numbers is not allowed
  hint: only comments and commas before a closing bracket are allowed beyond plain JSON"#]
    );
    assert_eq!(
        errors(r#"{ "a": .5 }"#),
        [
            r#"mcp.json:1:8: leading or trailing decimal points on numbers are not allowed
  hint: only comments and commas before a closing bracket are allowed beyond plain JSON"#
        ]
    );
    assert_eq!(
        errors("@"),
        [r#"mcp.json:1:1: expected a value, found something else
  hint: remove it, or close the quotes before it"#]
    );
    assert_eq!(
        errors(r#"{ "a": NaN }"#),
        [r#"mcp.json:1:8: expected a value, found a bare word
  hint: put strings in double quotes, and check the quotes before this place"#]
    );
    assert_eq!(
        errors(
            r#"{ "a": "x
y", "b": "z" }"#
        ),
        [
            r#"mcp.json:1:8: the string that begins here is not closed on its line
  hint: add the closing quote; a line break within a string is written `\n`"#
        ]
    );
}
