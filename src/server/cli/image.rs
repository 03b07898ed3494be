//! `neargate image`: a client of the running server.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, bail};
use clap::Subcommand;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::client::{Body, Endpoint};

#[derive(Debug, Subcommand)]
pub(super) enum Image {
    /// Load an image from a file or folder
    ///
    /// FILE is a docker archive (docker save), an OCI archive, an OCI layout folder, or the root file system of an image
    /// as a tar file or a folder; `-` reads from standard input. Compression is recognised.
    Load {
        /// The archive, the folder, or `-`
        file: PathBuf,
        /// The reference that task definitions will use; needed where the archive names none
        #[arg(long, value_name = "REF")]
        name: Option<String>,
        #[command(flatten)]
        endpoint: Endpoint,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Fetch an image from its registry, as a task would
    ///
    /// NAME is what a task definition says: `httpd:2.4` is Docker Hub's; a name of ECR is a repository of this server. Tasks
    /// pull by themselves: this is for fetching beforehand, and for seeing why one cannot. A user of the registry is one of
    /// Docker's config.json (of the user that the server runs as), or is given here.
    Pull {
        /// The reference, such as httpd:2.4 or ghcr.io/owner/app@sha256:…
        name: String,
        /// For which machine: linux/amd64 or linux/arm64; this one's if not given
        #[arg(long, value_name = "OS/ARCH")]
        platform: Option<String>,
        /// The registry's user
        #[arg(long, value_name = "USER", requires = "password_stdin")]
        username: Option<String>,
        /// Read the user's password from the standard input
        #[arg(long, requires = "username")]
        password_stdin: bool,
        #[command(flatten)]
        endpoint: Endpoint,
        /// Print JSON: a line for each progress, the image last
        #[arg(long)]
        json: bool,
    },
    /// Show all that is known of an image, as JSON
    Inspect {
        /// The reference, such as httpd:2.4
        reference: String,
        #[command(flatten)]
        endpoint: Endpoint,
        /// Print JSON, which is what is printed anyway
        #[arg(long, hide = true)]
        json: bool,
    },
    /// Remove the images that no container uses
    ///
    /// Those that were pulled: they come again when a task wants them. Images that were loaded from files stay, unless --all
    /// is given. `neargate serve --image-cache-gib N` does this by itself.
    Prune {
        /// Remove images that were loaded as well
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        endpoint: Endpoint,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the images
    Ls {
        #[command(flatten)]
        endpoint: Endpoint,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove an image
    Rm {
        /// The reference, such as httpd:2.4
        reference: String,
        #[command(flatten)]
        endpoint: Endpoint,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Image {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Load { file, name, endpoint, json } => load(&file, name.as_deref(), &endpoint, json),
            Self::Ls { endpoint, json } => {
                print(&endpoint.send("GET", "images", None, Body::None)?, json);
                Ok(())
            }
            Self::Rm { reference, endpoint, json } => {
                let removed = endpoint.send("DELETE", "images", Some(&reference), Body::None)?;
                if json {
                    print(&removed, true);
                }
                Ok(())
            }
            Self::Pull { name, platform, username, password_stdin, endpoint, json } => {
                let password = if password_stdin { Some(read_password()?) } else { None };
                let wanted = json!({ "name": name, "platform": platform, "username": username, "password": password });
                pull(&name, &wanted, &endpoint, json)
            }
            Self::Inspect { reference, endpoint, json: _ } => {
                print(&endpoint.send("GET", "images/inspect", Some(&reference), Body::None)?, true);
                Ok(())
            }
            Self::Prune { all, endpoint, json } => {
                let path = if all { "images/prune?all=true" } else { "images/prune" };
                let pruned = endpoint.send("POST", path, None, Body::Json(&Value::Null))?;
                print_pruned(&pruned, json);
                Ok(())
            }
        }
    }
}

fn load(file: &Path, name: Option<&str>, endpoint: &Endpoint, json: bool) -> anyhow::Result<()> {
    let mut archive = open(file)?;
    let loaded = endpoint.send("POST", "images", name, Body::Stream(&mut *archive))?;
    print(&loaded, json);
    Ok(())
}

/// Pulls an image, and shows how far that is: a bar on a terminal, lines elsewhere.
#[allow(clippy::print_stdout, reason = "it is what the user asked for")]
fn pull(name: &str, wanted: &Value, endpoint: &Endpoint, json: bool) -> anyhow::Result<()> {
    let bar = if json { ProgressBar::hidden() } else { progress(Some(0)) };
    let is_plain = !json && bar.is_hidden();
    let mut last = None;
    for told in endpoint.lines("images/pull", wanted)? {
        let told = told?;
        if json {
            println!("{told}");
        }
        if let Some(message) = told["message"].as_str() {
            bail!("{message}");
        }
        if let Some(digest) = told["digest"].as_str() {
            bar.finish_and_clear();
            if !json {
                println!("{name} {digest}");
            }
            return Ok(());
        }
        let count = |member: &str| told[member].as_u64().unwrap_or(0);
        bar.set_length(count("bytes"));
        bar.set_position(count("bytes_done"));
        // A line a layer is enough for a log.
        let done = count("layers_done");
        if is_plain && last.replace(done) != Some(done) {
            let (bytes_done, bytes) = (HumanBytes(count("bytes_done")), HumanBytes(count("bytes")));
            println!("{done} of {} layers, {bytes_done} of {bytes}", count("layers"));
        }
    }
    bail!("the server ended before the image was here")
}

fn read_password() -> anyhow::Result<String> {
    /// Longer than any token.
    const PASSWORD_BYTES_MAX: u64 = 64 * 1024;
    let mut password = String::new();
    io::stdin().take(PASSWORD_BYTES_MAX).read_to_string(&mut password).context("cannot read the password")?;
    Ok(password.trim_end_matches(['\r', '\n']).to_owned())
}

#[allow(clippy::print_stdout, reason = "it is what the user asked for")]
fn print_pruned(pruned: &Value, json: bool) {
    if json {
        println!("{pruned:#}");
        return;
    }
    for reference in pruned["removed"].as_array().into_iter().flatten() {
        println!("removed {}", reference.as_str().unwrap_or_default());
    }
    println!("{} are free again", HumanBytes(pruned["freed_bytes"].as_u64().unwrap_or(0)));
}

/// Opens an archive; a folder is packed on the way.
fn open(file: &Path) -> anyhow::Result<Box<dyn Read>> {
    if file == Path::new("-") {
        return Ok(Box::new(progress(None).wrap_read(io::stdin())));
    }
    let metadata = file.metadata().with_context(|| format!("cannot read {}", file.display()))?;
    if metadata.is_dir() {
        return Ok(Box::new(progress(None).wrap_read(pack(file.to_owned())?)));
    }
    let archive = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Box::new(progress(Some(metadata.len())).wrap_read(archive)))
}

/// Packs a folder as a tar stream, in a thread of its own. Should it fail, the stream ends early, and the server, which
/// misses the archive's end, refuses what it got.
fn pack(folder: PathBuf) -> anyhow::Result<io::PipeReader> {
    let (reader, writer) = io::pipe().context("cannot make a pipe")?;
    let pack = move || {
        let mut archive = tar::Builder::new(writer);
        archive.follow_symlinks(false);
        let packed = archive.append_dir_all(".", &folder).and_then(|()| archive.finish());
        if let Err(error) = packed {
            super::complain(&anyhow::Error::new(error).context(format!("cannot pack {}", folder.display())));
        }
    };
    thread::Builder::new().name("pack".to_owned()).spawn(pack).context("cannot start a thread")?;
    Ok(reader)
}

fn progress(total: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    match total {
        Some(total) => {
            let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec}");
            let bar = ProgressBar::new(total);
            if let Ok(style) = style { bar.with_style(style) } else { bar }
        }
        None => ProgressBar::new_spinner(),
    }
}

/// Prints images as a table, or as the server's own JSON.
#[allow(clippy::print_stdout, reason = "it is what the user asked for")]
fn print(answer: &Value, json: bool) {
    if json {
        println!("{answer:#}");
        return;
    }
    let images = answer["images"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |image: &Value, member: &str| image[member].as_str().unwrap_or_default().to_owned();
    let width = images.iter().map(|image| text(image, "reference").len()).max().unwrap_or(0).max("REFERENCE".len());
    println!("{:width$}  {:19}  {:6}  SIZE", "REFERENCE", "DIGEST", "SOURCE");
    for image in images {
        let digest = text(image, "digest").chars().take(19).collect::<String>();
        let size = HumanBytes(image["size_bytes"].as_u64().unwrap_or(0));
        println!("{:width$}  {digest:19}  {:6}  {size}", text(image, "reference"), text(image, "source"));
    }
}
