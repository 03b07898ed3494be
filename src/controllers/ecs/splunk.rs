//! The `splunk` log driver: what its options say, and the sending of lines to a collector.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::splunk::{Collector, Connection, Format, Labels};
use base::{ContainerId, Scope, TaskId, Timestamp};
use node::{OutputLine, OutputStream};
use state::State;
use state::ecs::{Container, ContainerDefinition, LogConfiguration, Splunk, Task, TaskDefinition};

use super::errand::Errands;
use super::log_delivery::Source;
use super::{TASKS, key_of, reason, secret};
use crate::World;

/// How many lines are sent at a time, as the driver does.
const LINES_PER_BATCH_MAX: usize = 1_000;
/// How many requests may be under way at a time, for lines and again for finding collectors. Each holds a thread, of which
/// everything else needs some too.
const REQUESTS_MAX: usize = 16;
/// How many of them may be for one collector: one that does not answer leaves the rest to the others.
const REQUESTS_PER_COLLECTOR_MAX: usize = 4;
/// How long after there was no place for a request it is looked again.
pub(super) const PLACE_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How many characters of a container's id tell it.
const SHORT_ID_CHARS: usize = 12;
/// The level at which bodies are compressed unless it is said.
const GZIP_LEVEL_DEFAULT: u32 = 6;

/// What the options of a container come to.
struct Sender {
    collector: Collector,
    format: Format,
    labels: Labels,
    is_verified_at_start: bool,
    /// How many lines from an offset on were taken already: a page may be taken in part.
    sent: Mutex<(u64, usize)>,
}

/// The places for requests.
#[derive(Default)]
struct Places {
    /// Those that are taken, by the collector.
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

/// A place for one request to a collector.
struct Place {
    taken: Arc<Mutex<HashMap<String, usize>>>,
    url: String,
}

/// The right to send the lines of one container.
pub(super) struct Turn {
    sender: Arc<Sender>,
    place: Place,
}

/// The senders of the containers that are known.
pub(super) struct Senders {
    world: World,
    known: Mutex<HashMap<ContainerId, Arc<Sender>>>,
    places: Places,
}

impl Senders {
    pub(super) fn new(world: World) -> Self {
        Self { world, known: Mutex::default(), places: Places::default() }
    }

    /// Lets a container have its turn; none if too much is under way. Fails with the reason if there is nobody to send to.
    pub(super) fn turn(&self, source: &Source<'_>, log: &Splunk) -> Result<Option<Turn>, String> {
        let sender = self.sender(source, log)?;
        Ok(self.places.take(sender.collector.url()).map(|place| Turn { sender, place }))
    }

    /// Forgets the senders of containers that are not left.
    pub(super) fn retain(&self, is_left: impl Fn(&ContainerId) -> bool) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).retain(|container, _| is_left(container));
    }

    /// Returns the sender of a container. The secrets among its options are fetched once in this server's life.
    fn sender(&self, source: &Source<'_>, log: &Splunk) -> Result<Arc<Sender>, String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&source.container.id).cloned();
        if let Some(sender) = known {
            return Ok(sender);
        }
        let definition = source.container_definition().ok_or("its definition is gone")?;
        let now = self.world.clock.now();
        let sender = Sender::new(&self.world.state, source.scope, source.task, source.container, definition, log, now)?;
        let sender = Arc::new(sender);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(source.container.id.clone(), Arc::clone(&sender));
        Ok(sender)
    }
}

impl Turn {
    /// Sends the lines that begin at an offset. Fails with the reason if not all of them were taken.
    pub(super) async fn send(self, from: u64, lines: Vec<OutputLine>) -> Result<(), String> {
        let Self { sender, place } = self;
        // The place is held as long as the thread is, whoever waits for it.
        let sent = tokio::task::spawn_blocking(move || {
            let _place = place;
            sender.send(from, &lines)
        });
        sent.await.map_err(|error| error.to_string())?
    }
}

impl Places {
    /// Takes a place for a request to a collector; none if there is none.
    fn take(&self, url: &str) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_collector = taken.get(url).copied().unwrap_or_default();
        if of_collector >= REQUESTS_PER_COLLECTOR_MAX || taken.values().sum::<usize>() >= REQUESTS_MAX {
            return None;
        }
        taken.insert(url.to_owned(), of_collector + 1);
        Some(Place { taken: Arc::clone(&self.taken), url: url.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.url) {
            Some(of_collector) if *of_collector > 1 => *of_collector -= 1,
            _ => drop(taken.remove(&self.url)),
        }
    }
}

/// What is being found out about collectors before containers start.
#[derive(Default)]
pub(super) struct Verifications {
    places: Places,
    errands: Errands<Result<(), String>>,
}

/// When a task's containers may start, as far as their collectors go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// Now.
    Ready,
    /// Once something is found out; then the task is woken.
    FindingOut,
    /// Nobody can find it out now: it is to be looked again after [`PLACE_AGAIN_AFTER`].
    Crowded,
}

impl Verifications {
    /// Forgets the containers of a task.
    pub(super) fn forget(&self, task: &TaskId) {
        self.errands.retain(|container| !container.as_str().starts_with(task.as_str()));
    }
}

/// Finds out, before a container starts, whether its collector is there. Fails with the words for why the task cannot
/// start.
pub(super) fn prepare(
    world: &World,
    verifications: &Verifications,
    scope: &Scope,
    task: &Task,
    definition: &TaskDefinition,
    places: &[usize],
) -> Result<Readiness, String> {
    let mut readiness = Readiness::Ready;
    for container in places.iter().filter_map(|place| task.containers.get(*place)) {
        let Some(known) = definition.containers.iter().find(|known| known.name == container.name) else { continue };
        let Some(LogConfiguration::Splunk(log)) = &known.log else { continue };
        if verifications.errands.is_under_way(&container.id) {
            readiness = Readiness::FindingOut;
            continue;
        }
        if let Some(found) = verifications.errands.seen(&container.id) {
            found?;
            continue;
        }
        let sender = Sender::new(&world.state, scope, task, container, known, log, world.clock.now())?;
        if !sender.is_verified_at_start {
            continue;
        }
        let Some(place) = verifications.places.take(sender.collector.url()) else { return Ok(Readiness::Crowded) };
        let (wakeups, key) = (world.wakeups.clone(), key_of(scope, &task.key));
        verifications.errands.begin(&container.id, verify(sender, place), move || wakeups.wake(TASKS, key));
        readiness = Readiness::FindingOut;
    }
    Ok(readiness)
}

async fn verify(sender: Sender, place: Place) -> Result<(), String> {
    let verified = tokio::task::spawn_blocking(move || {
        let _place = place;
        sender.collector.verify()
    });
    let verified = verified.await.map_err(|error| reason::bad_logger(&error.to_string()))?;
    verified.map_err(|error| reason::bad_logger(&format!("splunk: failed to verify connection - {error}")))
}

impl Sender {
    fn new(
        state: &State,
        scope: &Scope,
        task: &Task,
        container: &Container,
        definition: &ContainerDefinition,
        log: &Splunk,
        now: Timestamp,
    ) -> Result<Self, String> {
        let secrets = log.secret_options.iter().map(|secret| (secret.name.as_str(), secret.value_from.as_str()));
        let secrets = secret::resolve_all(state, scope, secrets, now)?;
        let option = |name: &str| {
            let secret = secrets.iter().find(|(known, _)| known == name).map(|(_, secret)| secret.expose());
            secret.or_else(|| log.options.get(name).map(String::as_str)).filter(|value| !value.is_empty())
        };
        let wrong = |name: &str| reason::bad_logger(&format!("splunk: {name} is not as it should be"));
        let is_set = |name: &str, default| match option(name) {
            None => Ok(default),
            Some("true" | "1" | "t" | "T" | "TRUE" | "True") => Ok(true),
            Some("false" | "0" | "f" | "F" | "FALSE" | "False") => Ok(false),
            Some(_) => Err(wrong(name)),
        };
        let url = option("splunk-url").filter(|url| is_url(url)).ok_or_else(|| wrong("splunk-url"))?;
        let gzip_level = match option("splunk-gzip-level") {
            None | Some("-1") => GZIP_LEVEL_DEFAULT,
            Some(level) => level.parse().ok().filter(|level| *level <= 9).ok_or_else(|| wrong("splunk-gzip-level"))?,
        };
        let format = match option("splunk-format") {
            None | Some("inline") => Format::Inline,
            Some("json") => Format::Json,
            Some("raw") => Format::Raw,
            Some(_) => return Err(wrong("splunk-format")),
        };
        let labels = Labels {
            host: host(task),
            source: option("splunk-source").map(str::to_owned),
            source_type: option("splunk-sourcetype").map(str::to_owned),
            index: option("splunk-index").map(str::to_owned),
            tag: tag(log.options.get("tag").map_or("{{.ID}}", String::as_str), container),
            attributes: attributes(definition, option("labels"), option("env")),
        };
        let connection = Connection {
            url: url.to_owned(),
            token: option("splunk-token").unwrap_or_default().to_owned(),
            is_insecure: is_set("splunk-insecureskipverify", false)?,
            gzip_level: is_set("splunk-gzip", false)?.then_some(gzip_level),
        };
        let is_verified_at_start = is_set("splunk-verify-connection", true)?;
        Ok(Self { collector: Collector::new(connection), format, labels, is_verified_at_start, sent: Mutex::default() })
    }

    fn send(&self, from: u64, lines: &[OutputLine]) -> Result<(), String> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.0 != from {
            *sent = (from, 0);
        }
        // The same page may have more lines this time.
        for lines in lines.get(sent.1..).unwrap_or_default().chunks(LINES_PER_BATCH_MAX) {
            let mut batch = Vec::new();
            for line in lines {
                let source = match line.stream {
                    OutputStream::Stdout => "stdout",
                    OutputStream::Stderr => "stderr",
                };
                let text = String::from_utf8_lossy(&line.bytes);
                ::splunk::event(&mut batch, self.format, &self.labels, line.at.as_millis(), source, &text);
            }
            if !batch.is_empty() {
                self.collector.send(&batch).map_err(|error| with_cause(&error))?;
            }
            sent.1 += lines.len();
        }
        Ok(())
    }
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    // The driver wants nothing behind host and port.
    rest.is_some_and(|rest| {
        !rest.trim_end_matches('/').is_empty() && !rest.trim_end_matches('/').contains(['/', '?', '#'])
    })
}

fn host(task: &Task) -> String {
    let name = task.eni.as_ref().and_then(|eni| eni.private_dns_name.clone());
    name.unwrap_or_else(|| task.key.id.to_string())
}

/// Fills in what a tag names of a container.
fn tag(template: &str, container: &Container) -> String {
    let id = container.id.as_str();
    let short = id.get(..SHORT_ID_CHARS).unwrap_or(id);
    [("{{.ID}}", short), ("{{.FullID}}", id), ("{{.Name}}", &container.name), ("{{.ImageName}}", &container.image)]
        .into_iter()
        .fold(template.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// Returns the labels and variables of a container that its options name.
fn attributes(definition: &ContainerDefinition, labels: Option<&str>, env: Option<&str>) -> BTreeMap<String, String> {
    let named = |names: Option<&str>, pairs: &[state::ecs::KeyValue]| {
        let names = names.unwrap_or_default().split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>();
        let pairs = pairs.iter().filter(move |pair| names.contains(&pair.name));
        pairs.map(|pair| (pair.name.clone(), pair.value.clone())).collect::<Vec<_>>()
    };
    named(labels, &definition.docker_labels).into_iter().chain(named(env, &definition.environment)).collect()
}

fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use state::ecs::KeyValue;

    use super::*;
    use crate::ecs::samples;

    #[test]
    fn a_collector_that_does_not_answer_leaves_places_to_others() {
        let places = Places::default();
        let silent = (0..REQUESTS_PER_COLLECTOR_MAX).map(|_| places.take("http://silent").unwrap()).collect::<Vec<_>>();
        assert!(places.take("http://silent").is_none());
        let others = (0..REQUESTS_MAX).map_while(|number| places.take(&format!("http://{number}"))).collect::<Vec<_>>();
        assert_eq!(others.len(), REQUESTS_MAX - REQUESTS_PER_COLLECTOR_MAX);
        drop(silent);
        assert!(places.take("http://silent").is_some());
        drop(others);
        assert!(places.taken.lock().unwrap().is_empty());
    }

    #[test]
    fn a_url_is_scheme_host_and_port() {
        for url in ["http://127.0.0.1:8088", "https://splunk.example:8088/", "https://splunk"] {
            assert!(is_url(url), "{url}");
        }
        for url in ["", "splunk:8088", "ftp://splunk", "https://", "https:///", "https://splunk/a", "https://splunk?a"]
        {
            assert!(!is_url(url), "{url}");
        }
    }

    #[test]
    fn attributes_are_those_that_were_asked_for() {
        let pair = |name: &str, value: &str| KeyValue { name: name.to_owned(), value: value.to_owned() };
        let definition = ContainerDefinition {
            docker_labels: vec![pair("a", "1"), pair("b", "2")],
            environment: vec![pair("C", "3"), pair("D", "4")],
            ..samples::container("app")
        };
        let found = attributes(&definition, Some("b, x"), Some("C"));
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            [("C".to_owned(), "3".to_owned()), ("b".to_owned(), "2".to_owned())]
        );
        assert!(attributes(&definition, None, None).is_empty());
    }
}
