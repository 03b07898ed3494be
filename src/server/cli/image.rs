//! `neargate image`: a client of the running server.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::Context;
use clap::Subcommand;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::Value;

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
            Self::Rm { reference, endpoint } => {
                endpoint.send("DELETE", "images", Some(&reference), Body::None)?;
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
    println!("{:width$}  {:19}  SIZE", "REFERENCE", "DIGEST");
    for image in images {
        let digest = text(image, "digest").chars().take(19).collect::<String>();
        let size = HumanBytes(image["size_bytes"].as_u64().unwrap_or(0));
        println!("{:width$}  {digest:19}  {size}", text(image, "reference"));
    }
}
