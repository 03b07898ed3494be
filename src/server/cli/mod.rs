//! The command line.

mod client;
mod clock;
mod doctor;
mod exec;
mod image;
mod instance;
mod serve;
mod spot;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Amazon ECS and AWS Fargate on this machine.
///
/// `neargate serve` answers the AWS CLI, Terraform and SDKs on http://127.0.0.1:4566 and runs Fargate tasks as real
/// containers, without Docker, an account or the internet.
#[derive(Debug, Parser)]
#[command(name = "neargate", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Serve),
    /// Load, pull, list and remove the images that tasks run
    #[command(subcommand)]
    Image(image::Image),
    /// Run a command in a container of a running task
    ///
    /// What `aws ecs execute-command` does, without AWS's plugin: the task must have been run with --enable-execute-command.
    /// Ends with the command's exit code.
    Exec(exec::Exec),
    /// Add, list and remove container instances that this machine runs tasks for
    #[command(subcommand)]
    Instance(instance::Instance),
    /// Take the capacity of Spot tasks back
    #[command(subcommand)]
    Spot(spot::Spot),
    /// Say how late it is, and let time pass on a manual clock
    Clock(clock::Clock),
    /// Say what this machine can and cannot do, and what follows
    Doctor(doctor::Doctor),
}

const EXAMPLES: &str = "\
Examples:
  sudo neargate serve                                       the server, with real containers
  neargate serve --node simulated                           without containers, without root
  docker save httpd:2.4 | neargate image load -             bring an image
  neargate exec -it TASK -- sh                              look into a running task
  export AWS_ENDPOINT_URL=http://127.0.0.1:4566             then use aws, terraform, SDKs as ever";

/// Runs the command that the program was called with.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(serve) => serve.run().map(|()| ExitCode::SUCCESS),
        Command::Image(image) => image.run().map(|()| ExitCode::SUCCESS),
        Command::Instance(instance) => instance.run().map(|()| ExitCode::SUCCESS),
        Command::Spot(spot) => spot.run().map(|()| ExitCode::SUCCESS),
        Command::Clock(clock) => clock.run().map(|()| ExitCode::SUCCESS),
        Command::Doctor(doctor) => return doctor.run(),
        Command::Exec(exec) => exec.run(),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Tells an error with its causes.
#[allow(clippy::print_stderr, reason = "it is the command line's own way to speak")]
fn complain(error: &anyhow::Error) {
    eprintln!("neargate: {error:#}");
}
