use crate::fixture::Place;

#[test]
fn help_texts() {
    let place = Place::new();
    for command in [
        "",
        "check",
        "servers",
        "tools",
        "call",
        "replay",
        "completions",
        "demo",
    ] {
        let mut args: Vec<&str> = command.split_whitespace().collect();
        args.push("--help");
        let said = place.run(&args);
        assert_eq!(said.ended(0).err, "");
        let name = if command.is_empty() {
            "mcp-fleet"
        } else {
            command
        };
        insta::assert_snapshot!(name, said.out);
    }
}

#[test]
fn the_version_is_the_crate_s() {
    let said = Place::new().run(&["--version"]);
    assert_eq!(
        said.ended(0).out,
        format!("mcp-fleet {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn completions_name_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = Place::new().run(&["completions", shell]);
        for command in ["check", "servers", "tools", "call", "replay", "demo"] {
            assert!(
                said.ended(0).out.contains(command),
                "{shell} lacks {command}"
            );
        }
        assert!(!said.out.contains("demo-server"), "{shell} offers it");
    }
    Place::new()
        .run(&["completions", "tcl"])
        .ended(2)
        .complains("possible values");
}
