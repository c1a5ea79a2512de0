use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::fixture::{PROGRAM, Place};

/// A run with a call in flight. `heard` is what the server heard; it ends with the last process of
/// the server, for all of them hold it open.
struct InFlight {
    child: Child,
    heard: BufReader<File>,
    _place: Place,
}

impl InFlight {
    /// `after` is what the server's shell does once its input has ended.
    fn begin(after: &str) -> Self {
        let place = Place::new();
        let made = Command::new("mkfifo")
            .arg(place.path().join("heard"))
            .status()
            .unwrap();
        assert!(made.success());
        let script = format!(
            "trap '' TERM; exec 3>heard; tee /dev/fd/3 | {PROGRAM} __demo-server --delay-ms=3300000; {after}"
        );
        let patient = "\"closeInputWaitMs\": 300000";
        let server =
            format!("\"s\": {{ \"command\": \"sh\", \"args\": [\"-c\", {script:?}], {patient} }}");
        place.write(
            "fleet.json",
            &format!("{{ \"mcpServers\": {{ {server} }} }}"),
        );
        let child = place
            .command(&["call", "fleet.json", "s", "count_words", r#"{"text":""}"#])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (opened, fifo) = mpsc::channel();
        let path = place.path().join("heard");
        thread::spawn(move || opened.send(File::open(path).unwrap()));
        let fifo = fifo
            .recv_timeout(Duration::from_secs(60))
            .expect("the server never started");
        let mut heard = BufReader::new(fifo);
        let mut line = String::new();
        while !line.contains("tools/call") {
            line.clear();
            assert_ne!(
                heard.read_line(&mut line).unwrap(),
                0,
                "the call never came"
            );
        }
        Self {
            child,
            heard,
            _place: place,
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// The exit code, once every process is gone.
    fn end(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        let mut rest = String::new();
        self.heard.read_to_string(&mut rest).unwrap();
        (code, rest)
    }
}

/// Whether the tests were started with SIGHUP ignored, as `nohup` does; what they start inherits it.
fn hangup_is_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}

/// F72
#[test]
fn the_first_signal_cancels_the_call_and_stops_the_server_in_order() {
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        if name == "HUP" && hangup_is_ignored() {
            eprintln!("HUP is left out: it is ignored here, and the program keeps it so");
            continue;
        }
        let run = InFlight::begin("true");
        run.signal(name);
        let (ended, rest) = run.end();
        assert_eq!(ended, Some(code));
        assert!(rest.contains("notifications/cancelled"), "{rest}");
    }
}

/// F72
#[test]
fn the_second_signal_kills_a_server_that_does_not_stop() {
    // Deaf to the end of its input and to SIGTERM, and given five minutes.
    let mut run = InFlight::begin("sleep 3600");
    run.signal("INT");
    let mut line = String::new();
    BufReader::new(run.child.stderr.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "stopping servers; a second signal kills them\n");
    run.signal("INT");
    assert_eq!(run.end().0, Some(130));
}
