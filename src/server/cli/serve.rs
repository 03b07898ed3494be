//! `neargate serve`.

use std::io::{IsTerminal, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use base::{AccountId, Clock as _, Region, Scope, SystemClock, Timestamp};
use clap::{Args, ValueEnum};
use controllers::{HostFolder, Paces, TimeScale};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use node::PullBehavior;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

use crate::{ClockKind, Config, Gateway, ImageConfig, Limits, NodeKind, Tls, assemble};

/// How many of its threads may wait for the kernel at once: as many as tasks may start at once.
const BLOCKING_THREADS_MAX: usize = 64;

/// What a shell adds to the number of a signal that ended a program.
const EXIT_BY_SIGNAL: i32 = 128;

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Address to listen on; port 0 takes any free one
    #[arg(long, value_name = "ADDR", default_value = Config::LISTEN_DEFAULT, env = "NEARGATE_LISTEN")]
    listen: SocketAddr,
    /// What runs the tasks
    #[arg(long, value_enum, default_value_t = NodeKind::Fargate, env = "NEARGATE_NODE")]
    node: NodeKind,
    /// Folder to keep state and images in; without it state is in memory, and images are in /var/lib/neargate
    #[arg(long, value_name = "DIR", env = "NEARGATE_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Region of requests that name none
    #[arg(long, default_value = Region::DEFAULT, env = "AWS_REGION", value_parser = region)]
    region: Region,
    /// Account of requests whose access key is no 12-digit account id
    #[arg(long, value_name = "ID", default_value_t = AccountId::DEFAULT, env = "NEARGATE_ACCOUNT", value_parser = account)]
    account: AccountId,
    /// Another host name that requests may be for (repeat it for more)
    #[arg(long = "allow-host", value_name = "NAME")]
    allowed_hosts: Vec<String>,
    /// How much every task may write in MiB, instead of its 20 to 200 GiB: to see what a program does on a full disk
    #[arg(long, value_name = "MIB")]
    ephemeral_storage_mib: Option<u64>,
    /// A folder of this machine that tasks on instances may mount parts of (repeat it for more); on Fargate none may
    #[arg(long = "allow-host-path", value_name = "DIR", value_parser = host_folder)]
    host_folders: Vec<HostFolder>,
    /// Which clock everything waits by: the machine's, or one that stands still until `neargate clock advance` (with the
    /// simulated node)
    #[arg(long, value_enum, default_value_t, env = "NEARGATE_CLOCK")]
    clock: ClockChoice,
    /// Where a manual clock stands at first, as in 2026-01-01T12:00:00Z; otherwise it shows the machine's time
    #[arg(long, value_name = "TIME", value_parser = time, env = "NEARGATE_CLOCK_START")]
    clock_start: Option<Timestamp>,
    /// How many times as fast as the clock the waits of services pass: until a task is healthy, back-off, bakes. N is for
    /// all, CLUSTER/SERVICE=N for one (repeat it for more)
    #[arg(long = "time-scale", value_name = "[CLUSTER/SERVICE=]N", value_delimiter = ',', env = "NEARGATE_TIME_SCALE")]
    time_scales: Vec<TimeScale>,
    /// Where Lambda functions are called, as in http://127.0.0.1:9001: those of deployments' lifecycle hooks, and targets of
    /// rules and schedules; without it (and without AWS_ENDPOINT_URL_LAMBDA) hooks are skipped, and the events of the
    /// service or deployment say so, and an event for a function is a failed invocation
    #[arg(long, value_name = "URL", value_parser = endpoint, env = "NEARGATE_LAMBDA_ENDPOINT")]
    lambda_endpoint: Option<String>,
    /// When a registry is asked for a task's image that was pulled before; images loaded from files are asked for nowhere,
    /// except with `always`
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", env = "NEARGATE_IMAGE_PULL_BEHAVIOR")]
    image_pull_behavior: ImagePullBehavior,
    /// Take images that this machine's Docker has built or pulled, before asking their registries
    #[arg(long, env = "NEARGATE_PULL_FROM_DOCKER")]
    pull_from_docker: bool,
    /// Ask no registry that is not on this machine: images are loaded, or pushed to the ECR in here
    #[arg(long, env = "NEARGATE_OFFLINE")]
    offline: bool,
    /// How much room pulled images may take; beyond it those go that no task has used for the longest
    #[arg(long, value_name = "GIB", env = "NEARGATE_IMAGE_CACHE_GIB")]
    image_cache_gib: Option<u64>,
    /// Speak TLS too, on the same address, with a certificate made here: for clients that take nothing else
    #[arg(long, env = "NEARGATE_TLS")]
    tls: bool,
    /// What to log: error, warn, info, debug, or a tracing filter
    #[arg(long, value_name = "FILTER", default_value = "info", env = "NEARGATE_LOG")]
    log: String,
}

/// Which clock tells the time.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum ClockChoice {
    /// The machine's
    #[default]
    System,
    /// One that stands still until it is told to advance
    Manual,
}

/// The ECS agent's `ECS_IMAGE_PULL_BEHAVIOR`.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum ImagePullBehavior {
    /// Always; if it cannot be reached, the image that is here serves
    #[default]
    Default,
    /// Always; if it cannot be reached, the task fails
    Always,
    /// Never, if there is such an image here
    PreferCached,
    /// Only the first time
    Once,
}

impl From<ImagePullBehavior> for PullBehavior {
    fn from(behavior: ImagePullBehavior) -> Self {
        match behavior {
            ImagePullBehavior::Default => Self::Default,
            ImagePullBehavior::Always => Self::Always,
            ImagePullBehavior::PreferCached => Self::PreferCached,
            ImagePullBehavior::Once => Self::Once,
        }
    }
}

fn region(text: &str) -> Result<Region, String> {
    Region::try_from(text.to_owned())
}

fn account(text: &str) -> Result<AccountId, String> {
    AccountId::try_from(text.to_owned())
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::from_rfc3339(text).ok_or_else(|| format!("`{text}` is no date and time with an offset"))
}

fn endpoint(text: &str) -> Result<String, String> {
    let has_host = |rest: &str| rest.chars().next().is_some_and(|first| first != '/');
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let is_endpoint = rest.is_some_and(has_host) && !text.contains(['?', '#', ' ']);
    if is_endpoint { Ok(text.to_owned()) } else { Err(format!("`{text}` is no address such as http://127.0.0.1:9001")) }
}

/// Returns the endpoint of Lambda that AWS's SDKs would use, if one is named.
fn lambda_endpoint_of_sdks() -> Option<String> {
    let named = std::env::var("AWS_ENDPOINT_URL_LAMBDA").ok().filter(|url| !url.is_empty())?;
    endpoint(&named).inspect_err(|error| tracing::warn!(%error, "AWS_ENDPOINT_URL_LAMBDA is not used")).ok()
}

fn host_folder(text: &str) -> Result<HostFolder, String> {
    HostFolder::find(Path::new(text)).map_err(|error| error.to_string())
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let filter = EnvFilter::try_new(&self.log).with_context(|| format!("`{}` is no log filter", self.log))?;
        let is_terminal = std::io::stderr().is_terminal();
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(is_terminal).with_writer(std::io::stderr).init();
        raise_open_files();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .build()
            .context("cannot start the server's threads")?;
        let is_secured = self.tls;
        runtime.block_on(serve(&self.config(), is_secured))
    }

    fn config(self) -> Config {
        Config {
            listen: self.listen,
            node: self.node,
            clock: match self.clock {
                ClockChoice::System => ClockKind::System,
                ClockChoice::Manual => ClockKind::Manual { start: self.clock_start },
            },
            data_dir: self.data_dir,
            scope: Scope::new(self.account, self.region),
            allowed_hosts: self.allowed_hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            ephemeral_storage_mib: self.ephemeral_storage_mib,
            host_folders: self.host_folders,
            paces: Paces::new(self.time_scales),
            lambda_endpoint: self.lambda_endpoint.or_else(lambda_endpoint_of_sdks),
            images: ImageConfig {
                pull_behavior: self.image_pull_behavior.into(),
                asks_elsewhere: !self.offline,
                asks_engine: self.pull_from_docker,
                layer_bytes_max: self.image_cache_gib.map(|gib| gib.saturating_mul(1 << 30)),
            },
            limits: Limits::default(),
        }
    }
}

/// Takes as many open files as this process may have: shells give 1,024, and each connection and each container needs one.
fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| hard));
    match raised {
        Ok(limit) => tracing::debug!(limit, "open files"),
        Err(error) => tracing::warn!(%error, "cannot raise the number of open files"),
    }
}

async fn serve(config: &Config, is_secured: bool) -> anyhow::Result<()> {
    // Signals are caught from before the first line is printed: whoever reads it may send one.
    let signals = Signals::listen()?;
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(signals.heed(stop));
    let mut gateway = Gateway::bind(config).await?;
    let address = gateway.address().context("cannot tell the address")?;
    // With the port that it turned out to be: names of images may have it.
    let emulator = assemble(&Config { listen: address, ..config.clone() })?;
    let tls = if is_secured { Some(tls(config, address)?) } else { None };
    greet(&greeting(config, address, tls.as_ref()), address);
    if let Some(tls) = tls {
        gateway = gateway.with_tls(tls);
    }
    let stop = async {
        // The sender goes only with the process.
        _ = stopped.await;
    };
    gateway.serve(&emulator, stop).await;
    emulator.shutdown(config.data_dir.is_some()).await;
    Ok(())
}

/// Makes a certificate, and in the data directory its authority.
fn tls(config: &Config, address: SocketAddr) -> anyhow::Result<Tls> {
    let (folder, now) = (config.data_dir().join("tls"), SystemClock.now());
    Ok(Tls::prepare(&folder, address, &config.scope.region, &config.allowed_hosts, now)?)
}

/// The signals that stop the server.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?,
        })
    }

    /// Stops the server in order at the first signal, and ends it as it is at the second.
    async fn heed(mut self, stop: oneshot::Sender<()>) {
        let (name, _) = self.next().await;
        tracing::info!("{name}: stopping; another one ends the server at once");
        // It may have ended meanwhile.
        let _ = stop.send(());
        let (name, kind) = self.next().await;
        tracing::warn!("{name} again: ended at once; the next start takes care of what is left");
        exit_at_once(EXIT_BY_SIGNAL + kind.as_raw_value());
    }

    async fn next(&mut self) -> (&'static str, SignalKind) {
        tokio::select! {
            _ = self.interrupt.recv() => ("SIGINT", SignalKind::interrupt()),
            _ = self.terminate.recv() => ("SIGTERM", SignalKind::terminate()),
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "destructors may be what does not end")]
fn exit_at_once(code: i32) -> ! {
    std::process::exit(code)
}

/// Prints what the user waits for. A standard output that nobody reads any more is no reason not to serve.
fn greet(greeting: &str, address: SocketAddr) {
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = stdout.write_all(greeting.as_bytes()).and_then(|()| stdout.flush()) {
        tracing::warn!(%error, %address, "ready, but cannot say so on the standard output");
    }
}

/// Says where the server is and what to export.
fn greeting(config: &Config, address: SocketAddr, tls: Option<&Tls>) -> String {
    let state = match &config.data_dir {
        Some(folder) => format!("kept in {}", folder.display()),
        None => "in memory (--data-dir DIR keeps it)".to_owned(),
    };
    let node = match config.node {
        NodeKind::Fargate => "fargate: tasks are real containers",
        NodeKind::Simulated => "simulated: no containers; tasks follow NEARGATE_SIMULATE",
    };
    let account = match config.scope.account {
        AccountId::DEFAULT => "test".to_owned(),
        account => account.to_string(),
    };
    let tls = tls.map_or_else(String::new, |tls| {
        format!("  tls       https://{address}, for those who trust {}\n", tls.authority().display())
    });
    let version = env!("CARGO_PKG_VERSION");
    let region = config.scope.region.as_str();
    // SDKs read the one name of the region or the other.
    format!(
        "neargate {version} is ready
  endpoint  http://{address}
  node      {node}
  state     {state}
{tls}
  export AWS_ENDPOINT_URL=http://{address}
  export AWS_REGION={region} AWS_DEFAULT_REGION={region}
  export AWS_ACCESS_KEY_ID={account} AWS_SECRET_ACCESS_KEY=test

  aws ecs list-clusters
"
    )
}
