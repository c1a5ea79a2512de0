//! What a journal must not hold.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    forms::{forms, pieces},
    mask::Patterns,
};
use crate::config::{Http, Kind, ServerConfig, Stdio};

/// Shorter secrets are left out where they stand in the configuration, but not looked for in
/// other texts: they would be found everywhere.
pub const SECRET_BYTES_MIN: usize = 6;
/// The same for secrets of digits alone, which ids and times resemble.
const DIGITS_MIN: usize = 8;
/// The most secrets that are told apart and looked for. A journal that meets more says nothing
/// from then on.
pub const SECRETS_MAX: usize = 4096;

/// Words that the machine reads and writes. No secret is among them: to cover them would make a
/// journal that is replayed otherwise.
const VOCABULARY: &str = "jsonrpc method params result error message \
    initialize server/discover subscriptions/listen notifications/initialized \
    notifications/cancelled notifications/progress notifications/message \
    notifications/tools/list_changed notifications/prompts/list_changed \
    notifications/resources/list_changed notifications/resources/updated \
    notifications/subscriptions/acknowledged notifications/roots/list_changed \
    tools/call tools/list resources/list resources/read resources/templates/list \
    prompts/list prompts/get completion/complete logging/setLevel roots/list \
    sampling/createMessage elicitation/create \
    protocolVersion supportedVersions clientInfo serverInfo capabilities instructions \
    io.modelcontextprotocol/protocolVersion io.modelcontextprotocol/clientInfo \
    io.modelcontextprotocol/clientCapabilities io.modelcontextprotocol/serverInfo \
    io.modelcontextprotocol/subscriptionId \
    progressToken progress requestId reason resultType complete input_required inputRequests \
    inputResponses requestState nextCursor cursor resourceTemplates prompts resources listChanged \
    toolsListChanged promptsListChanged resourcesListChanged toolChoice includeContext \
    requested supported arguments structuredContent isError inputSchema content \
    command signal deploy undeploy execute cancel restart health_check list_servers list_catalog \
    get_metrics update_config answer shutdown config server request options timeout \
    opened open_failed closed wrote write_failed stderr dropped exited unknown transient \
    effects close_input terminate incarnation version redaction nothing secrets payloads \
    continues always on_failure one_for_one one_for_all rest_for_one \
    shared per_client enabled disabled required";

/// Secrets as they become known.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// Every whole value, and its number in the order in which they became known.
    numbers: BTreeMap<String, usize>,
    /// What is looked for.
    pieces: BTreeSet<String>,
    /// Names are told anyway, so they are no secrets.
    names: BTreeSet<String>,
    patterns: Patterns,
    /// The patterns that no number resembles.
    texts: Patterns,
    changed: bool,
}

impl Secrets {
    /// Takes what is secret in the configuration of a server.
    pub(super) fn know_config(&mut self, config: &ServerConfig) {
        for name in [Some(config.name.as_str()), config.group.as_deref()] {
            self.changed |= name.is_some_and(|name| self.names.insert(name.to_owned()));
        }
        match &config.kind {
            Kind::Stdio(Stdio { env, .. }) => env.values().for_each(|value| self.know(value)),
            Kind::Http(Http { url, headers }) => {
                headers.values().for_each(|value| self.know(value));
                if let Some((_, tail)) = split_address(url) {
                    self.know_within(url);
                    self.know(tail);
                }
            }
            Kind::InProcess | Kind::Attached => {}
        }
    }

    /// Takes a secret.
    pub(super) fn know(&mut self, value: &str) {
        if value.is_empty() || self.is_full() {
            return;
        }
        self.number(value);
        self.know_within(value);
    }

    fn know_within(&mut self, value: &str) {
        for piece in pieces(value) {
            let digits = piece.bytes().all(|byte| byte.is_ascii_digit());
            let least = if digits { DIGITS_MIN } else { SECRET_BYTES_MIN };
            if piece.len() >= least && !VOCABULARY.contains(&piece) {
                self.changed |= self.pieces.insert(piece);
            }
        }
    }

    /// Whether there are more than can be looked for.
    pub(super) fn is_full(&self) -> bool {
        self.numbers.len() >= SECRETS_MAX || self.pieces.len() >= SECRETS_MAX
    }

    /// Makes what became known since the last time what is looked for.
    pub(super) fn refresh(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let named = |piece: &&String| !self.names.iter().any(|name| name.contains(piece.as_str()));
        let pieces: Vec<&String> = self.pieces.iter().filter(named).collect();
        let is_text = |piece: &&&String| !piece.bytes().all(|byte| byte.is_ascii_digit());
        self.texts = Patterns::new(pieces.iter().filter(is_text).flat_map(|piece| forms(piece)));
        self.patterns = Patterns::new(pieces.iter().flat_map(|piece| forms(piece)));
    }

    pub(super) const fn patterns(&self) -> &Patterns {
        &self.patterns
    }

    /// What is looked for in a finished line, whose numbers are the journal's own.
    pub(super) const fn texts(&self) -> &Patterns {
        &self.texts
    }

    /// The kind without its secrets. Different kinds stay different, and equal ones equal.
    pub(super) fn kind(&mut self, kind: &Kind) -> Kind {
        match kind {
            Kind::Stdio(stdio) => Kind::Stdio(Stdio {
                command: self.text(&stdio.command),
                args: stdio.args.iter().map(|arg| self.text(arg)).collect(),
                env: self.values(&stdio.env),
                cwd: stdio.cwd.as_deref().map(|cwd| self.text(cwd)),
            }),
            Kind::Http(http) => {
                let url = match split_address(&http.url) {
                    Some((front, tail)) => format!("{}{}", self.host(front), self.name_of(tail)),
                    None => self.host(&http.url),
                };
                Kind::Http(Http {
                    url,
                    headers: self.values(&http.headers),
                })
            }
            Kind::InProcess => Kind::InProcess,
            Kind::Attached => Kind::Attached,
        }
    }

    fn values(&mut self, values: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        values
            .iter()
            .map(|(key, value)| (key.clone(), self.name_of(value)))
            .collect()
    }

    /// The scheme and the host, without a user.
    fn host(&mut self, front: &str) -> String {
        let Some((scheme, authority)) = front.split_once("://") else {
            return self.text(front);
        };
        match authority.rsplit_once('@') {
            Some((user, host)) => format!("{scheme}://{}@{host}", self.name_of(user)),
            None => self.text(front),
        }
    }

    /// A text of the configuration with names in the places of secrets.
    fn text(&mut self, text: &str) -> String {
        let ranges: Vec<_> = self.patterns.ranges(text.as_bytes()).collect();
        let mut out = String::with_capacity(text.len());
        let mut from = 0;
        for (start, end) in ranges {
            // Patterns are whole characters.
            out.push_str(text.get(from..start).unwrap_or_default());
            let secret = text.get(start..end).unwrap_or_default().to_owned();
            out.push_str(&self.name_of(&secret));
            from = end;
        }
        out.push_str(text.get(from..).unwrap_or_default());
        out
    }

    /// What stands in the place of a value of the configuration.
    fn name_of(&mut self, value: &str) -> String {
        if value.is_empty() {
            return String::new();
        }
        format!("<secret {}>", self.number(value))
    }

    fn number(&mut self, value: &str) -> usize {
        let next = self.numbers.len().saturating_add(1);
        *self.numbers.entry(value.to_owned()).or_insert(next)
    }
}

/// An address up to its host, and what follows where that is more than `/`.
fn split_address(url: &str) -> Option<(&str, &str)> {
    let start = url.find("://").map_or(0, |colon| colon.saturating_add(3));
    let (_, rest) = url.split_at_checked(start)?;
    let length = rest.find(['/', '?', '#'])?;
    let (front, tail) = url.split_at_checked(start.saturating_add(length))?;
    (tail != "/").then_some((front, tail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ServerName;

    fn server(name: &str, env: &[(&str, &str)]) -> ServerConfig {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let stdio = Stdio {
            command: "run".to_owned(),
            args: vec!["--token=tok-123456".to_owned()],
            env: env.iter().map(pair).collect(),
            cwd: Some("/tmp".to_owned()),
        };
        ServerConfig::new(ServerName::new(name).unwrap(), Kind::Stdio(stdio))
    }

    fn known(servers: &[ServerConfig]) -> Secrets {
        let mut secrets = Secrets::default();
        servers
            .iter()
            .for_each(|server| secrets.know_config(server));
        secrets.refresh();
        secrets
    }

    #[test]
    fn values_have_numbers_that_tell_them_apart() {
        let one = server("a", &[("A", "tok-123456"), ("B", "x"), ("C", "")]);
        let two = server("b", &[("A", "tok-654321"), ("D", "x")]);
        let mut secrets = known(&[one.clone(), two.clone()]);
        let Kind::Stdio(shown) = secrets.kind(&one.kind) else {
            panic!("another kind")
        };
        assert_eq!(shown.args, ["--token=<secret 1>"]);
        assert_eq!(
            (shown.command.as_str(), shown.cwd.as_deref()),
            ("run", Some("/tmp"))
        );
        assert_eq!(
            shown.env.values().collect::<Vec<_>>(),
            ["<secret 1>", "<secret 2>", ""]
        );
        let Kind::Stdio(shown) = secrets.kind(&two.kind) else {
            panic!("another kind")
        };
        assert_eq!(
            shown.env.values().collect::<Vec<_>>(),
            ["<secret 3>", "<secret 2>"]
        );
    }

    #[test]
    fn an_address_keeps_its_host() {
        let mut secrets = Secrets::default();
        for (url, shown) in [
            ("https://h:1/mcp", "https://h:1<secret 1>"),
            ("https://h", "https://h"),
            ("https://h/", "https://h/"),
            ("https://h?key=abcdefgh", "https://h<secret 3>"),
            ("https://ann:pw@h/mcp", "https://<secret 4>@h<secret 1>"),
        ] {
            let http = Http {
                url: url.to_owned(),
                headers: [("Authorization".to_owned(), "Bearer abcdef".to_owned())].into(),
            };
            let Kind::Http(http) = secrets.kind(&Kind::Http(http)) else {
                panic!("another kind")
            };
            assert_eq!(http.url, shown);
        }
    }

    #[test]
    fn short_values_names_and_words_of_the_protocol_are_not_looked_for() {
        let secrets = known(&[server(
            "github-prod",
            &[
                ("A", "8080"),
                ("B", "debug"),
                ("C", "1234567"),
                ("D", "12345678"),
                ("E", "github"),
                ("F", "tools/list"),
                ("G", "hunter"),
            ],
        )]);
        let text = "8080 debug 1234567 12345678 github tools/list hunter aHVudGVy";
        let covered = secrets.patterns().cover(text.as_bytes());
        assert_eq!(
            String::from_utf8(covered).unwrap(),
            "8080 debug 1234567 99999999 github tools/list ****** ********"
        );
        let covered = secrets.texts().cover(b"12345678 hunter");
        assert_eq!(covered, b"12345678 ******");
    }

    #[test]
    fn secrets_are_bounded() {
        let mut secrets = Secrets::default();
        for number in 0..SECRETS_MAX + 10 {
            secrets.know(&format!("secret-{number}"));
        }
        assert!(secrets.is_full());
        assert_eq!(secrets.pieces.len(), SECRETS_MAX);
    }
}
