//! The `coffer` binary: command line, configuration, composition. The only reader of environment and files.
//!
//! `serve` installs its sandbox here, before any thread exists; only then a runtime is built. What a role does is in its
//! own crate; nothing in this one knows what a payment is.

mod accounts;
mod acting;
mod activation;
mod admin;
mod alerts;
mod api_keys;
mod audit;
mod backup;
mod cli;
mod configuration;
mod console;
mod demo;
mod directory;
mod doctor;
mod env;
mod failure;
mod init;
mod listen;
mod logging;
mod receiver;
mod runtime;
mod sandbox;
mod sealing;
mod secret_file;
mod serve;
mod signals;
mod signing_keys;
mod supervisor;
mod tls;
mod usage;

use std::{alloc::System, process::ExitCode};

use clap::Parser;
use zeroizing_alloc::ZeroAlloc;

use cli::{Cli, Command, PagesCommand, TlsCommand};
use failure::Failure;

/// Memory is wiped when it is freed, in every role: buffers of libraries that held a card number or a key included.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(failure) => {
            console::complain(&failure.to_string());
            failure.exit_code()
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    let done = match command {
        Command::Doctor(arguments) => return doctor::run(&arguments),
        Command::Init(arguments) => init::run(&arguments),
        Command::Up(arguments) => supervisor::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Env(arguments) => env::run(&arguments),
        Command::Listen(arguments) => listen::run(&arguments),
        Command::Keys { command } => admin::keys(&command),
        Command::Tls {
            command: TlsCommand::Check(arguments),
        } => tls::check(&arguments),
        Command::ApiKeys { command } => api_keys::run(command),
        Command::SigningKeys { command } => signing_keys::run(command),
        Command::Accounts { command } => activation::run(command),
        Command::Blocks { command } => accounts::blocks::run(command),
        Command::Alerts(arguments) => alerts::list(&arguments),
        Command::Pages {
            command: PagesCommand::Check(place),
        } => alerts::pages_check(&place),
        Command::Usage(arguments) => usage::run(arguments),
        Command::Audit { command } => audit::run(command),
        Command::Backup { command } => backup::run(&command),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Openapi => serve::api::print_openapi(),
    };
    done.map(|()| ExitCode::SUCCESS)
}
