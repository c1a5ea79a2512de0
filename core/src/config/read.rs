//! A whole file.

use std::collections::BTreeMap;

use jsonc_parser::{
    ast::{Object, Value},
    common::Ranged,
};

use super::{
    ConfigErrors, FleetConfig, Problem, Root, ServerLimits,
    expand::Tilde,
    keys::{Place, Slot},
    path::{Path, shown},
    supervision::STRATEGIES,
    syntax,
    values::{Entry, Reader},
};

/// What was read from a file.
#[derive(Clone, PartialEq, Debug)]
pub struct Loaded {
    /// The fleet, its servers in the order of the file.
    pub config: FleetConfig,
    /// What looks wrong all the same, in the order of the file.
    pub warnings: Vec<Problem>,
}

/// Reads the text of a configuration file.
///
/// `file` is only a name for messages. `variable` looks up an environment variable. The
/// [module](super) describes the format.
///
/// # Errors
/// Everything that is wrong with the file at once, in the order of the file; where the text is not
/// JSON, the one place where it stops being so.
pub fn read(
    file: &str,
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, ConfigErrors> {
    // Some editors of Windows begin every file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::new(text, variable);
    let config = reader.file(text);
    let (errors, warnings) = reader.report.into_problems(file, text);
    if errors.is_empty() {
        Ok(Loaded { config, warnings })
    } else {
        Err(ConfigErrors { errors, warnings })
    }
}

impl Reader<'_> {
    fn file(&mut self, text: &str) -> FleetConfig {
        let mut config = FleetConfig::default();
        let Some(value) = syntax::parse(text, &mut self.report) else {
            return config;
        };
        let path = &Path::Top;
        syntax::report_duplicates(&value, path, &self.lines, &mut self.report);
        let Some(object) = self.object(path, &value) else {
            return config;
        };
        let entries = self.entries(Place::Top, path, object);
        // Defaults hold wherever they stand, so `fleet` comes first.
        let mut defaults = ServerLimits::default();
        for entry in &entries {
            if let Slot::FleetObject = entry.key.slot {
                defaults = self.fleet(&path.key(entry.key.name), entry.value, &mut config);
            }
        }
        for entry in &entries {
            if let Slot::Inputs = entry.key.slot
                && entry
                    .value
                    .as_array()
                    .is_none_or(|list| !list.elements.is_empty())
            {
                let message = "prompts of an editor are not asked here";
                let remedy = "write `${NAME}` for each `${input:..}`, and set the variable";
                self.report
                    .warning(entry.offset, &path.key(entry.key.name), message, remedy);
            }
        }
        self.servers(path, &entries, &defaults, &mut config);
        self.check_order(&entries, &config);
        if !entries
            .iter()
            .any(|entry| matches!(entry.key.slot, Slot::Servers))
        {
            let remedy = "add `\"mcpServers\": {}`, with the servers in it";
            self.report
                .warning(object.start(), path, "the file has no servers", remedy);
        }
        config
    }

    fn servers(
        &mut self,
        path: &Path<'_>,
        entries: &[Entry<'_, '_>],
        defaults: &ServerLimits,
        config: &mut FleetConfig,
    ) {
        let mut seen: BTreeMap<String, (&str, usize, &Object<'_>)> = BTreeMap::new();
        let mut count = 0_usize;
        for entry in entries
            .iter()
            .filter(|entry| matches!(entry.key.slot, Slot::Servers))
        {
            let path = &path.key(entry.key.name);
            let Some(object) = self.object(path, entry.value) else {
                continue;
            };
            for prop in &object.properties {
                let name = prop.name.as_str();
                let path = &path.key(name);
                count += 1;
                if count == config.limits.servers + 1 {
                    let most = config.limits.servers;
                    let message =
                        format!("the fleet may have {most} servers, and this is one more");
                    self.report
                        .error(prop.start(), path, message, "raise `fleet.maxServers`");
                }
                match seen.get(&name.to_ascii_lowercase()) {
                    // The very same key in the same object is reported for all objects alike.
                    Some((other, _, home)) if *other == name && std::ptr::eq(*home, object) => {}
                    Some((other, offset, _)) => {
                        let (line, other) = (self.lines.line(*offset), shown(other));
                        let message = format!(
                            "line {line} has the server `{other}`, and names must differ in more \
                             than case"
                        );
                        self.report
                            .error(prop.start(), path, message, "rename one of the two");
                    }
                    None => {
                        seen.insert(name.to_ascii_lowercase(), (name, prop.start(), object));
                    }
                }
                config.servers.extend(self.server(path, prop, defaults));
            }
        }
    }

    fn fleet(
        &mut self,
        path: &Path<'_>,
        value: &Value<'_>,
        config: &mut FleetConfig,
    ) -> ServerLimits {
        let mut defaults = ServerLimits::default();
        let Some(object) = self.object(path, value) else {
            return defaults;
        };
        for entry in self.entries(Place::Fleet, path, object) {
            let path = &path.key(entry.key.name);
            match entry.key.slot {
                Slot::FleetLimit(bound) => {
                    if let Some(number) = self.number(path, entry.key, entry.value) {
                        (bound.set)(&mut config.limits, number);
                    }
                }
                Slot::Defaults => self.defaults(path, entry.value, &mut defaults),
                Slot::Groups => self.groups(path, entry.value, config),
                Slot::Client => self.client(path, entry.value, config),
                Slot::Roots => {
                    config.client.capabilities.roots = Some(self.roots(path, entry.value));
                }
                Slot::Servers
                | Slot::FleetObject
                | Slot::Inputs
                | Slot::Schema
                | Slot::Command
                | Slot::Args
                | Slot::Env
                | Slot::EnvFile
                | Slot::Cwd
                | Slot::Type
                | Slot::Url
                | Slot::Headers
                | Slot::Enabled
                | Slot::Disabled
                | Slot::Restart
                | Slot::Start
                | Slot::Scope
                | Slot::After
                | Slot::Group
                | Slot::StartupProbe
                | Slot::ReadinessProbe
                | Slot::LivenessProbe
                | Slot::Retry
                | Slot::Replace
                | Slot::ServerLimit(_)
                | Slot::Name
                | Slot::Version
                | Slot::Title
                | Slot::Uri => {}
            }
        }
        defaults
    }

    fn defaults(&mut self, path: &Path<'_>, value: &Value<'_>, limits: &mut ServerLimits) {
        let Some(object) = self.object(path, value) else {
            return;
        };
        let (mut timeout, mut probe_timeout) = (None, None);
        let mut given = Vec::new();
        for entry in self.entries(Place::Server, path, object) {
            let key = &path.key(entry.key.name);
            let Slot::ServerLimit(bound) = entry.key.slot else {
                let message = "only numbers can be given for all servers at once";
                self.report
                    .error(entry.offset, key, message, "write it into each server");
                continue;
            };
            given.push((entry.offset, entry.key.name));
            match entry.key.name {
                name @ ("timeoutMs" | "timeoutMaxMs") => timeout = Some((entry.offset, name)),
                name @ ("probeTimeoutMs" | "startTimeoutMs") => {
                    probe_timeout = Some((entry.offset, name));
                }
                _ => {}
            }
            if let Some(number) = self.number(key, entry.key, entry.value) {
                (bound.set)(limits, number);
            }
        }
        self.check_limits(path, limits, timeout, probe_timeout);
        self.check_pairs(path, &given, limits);
    }

    fn groups(&mut self, path: &Path<'_>, value: &Value<'_>, config: &mut FleetConfig) {
        let Some(object) = self.object(path, value) else {
            return;
        };
        for prop in &object.properties {
            let name = prop.name.as_str();
            if let Some(strategy) = self.word(&path.key(name), &prop.value, STRATEGIES) {
                config.groups.insert(name.to_owned(), strategy);
            }
        }
    }

    fn client(&mut self, path: &Path<'_>, value: &Value<'_>, config: &mut FleetConfig) {
        let Some(object) = self.object(path, value) else {
            return;
        };
        let (mut name, mut version) = (None, None);
        for entry in self.entries(Place::Client, path, object) {
            let text = self.filled_text(&path.key(entry.key.name), entry.value);
            match entry.key.name {
                "name" => name = Some(text),
                "version" => version = Some(text),
                _ => config.client.implementation.title = text,
            }
        }
        if name.is_some() != version.is_some() {
            let message = "a name without a version, or the reverse";
            let remedy = "write both `name` and `version`, or neither";
            self.report.error(object.start(), path, message, remedy);
        }
        if let (Some(Some(name)), Some(Some(version))) = (name, version) {
            config.client.implementation.name = name;
            config.client.implementation.version = version;
        }
    }

    fn roots(&mut self, path: &Path<'_>, value: &Value<'_>) -> Vec<Root> {
        let mut roots = Vec::new();
        for (index, element) in self
            .list(path, value)
            .unwrap_or_default()
            .iter()
            .enumerate()
        {
            let path = &path.element(index);
            let Some(object) = self.object(path, element) else {
                continue;
            };
            let (mut uri, mut name) = (None, None);
            let mut given = false;
            for entry in self.entries(Place::Root, path, object) {
                let path = &path.key(entry.key.name);
                if let Slot::Uri = entry.key.slot {
                    given = true;
                    uri = self.expanded(path, entry.value, Tilde::Plain);
                    if uri.as_ref().is_some_and(|uri| !uri.starts_with("file:///")) {
                        let message = "a root is a `file://` URI with a whole path";
                        let remedy = "write it like `file:///home/ann/project`";
                        self.report
                            .error(entry.value.start(), path, message, remedy);
                    }
                } else {
                    name = self.filled_text(path, entry.value);
                }
            }
            if !given {
                let remedy = "add `\"uri\": \"file:///..\"`";
                self.report
                    .error(element.start(), path, "the root has no `uri`", remedy);
            }
            roots.extend(uri.map(|uri| Root { uri, name }));
        }
        roots
    }
}
