//! `coffer init`: creates the data directory. A second time it completes what is missing and harms nothing that is there.

pub(crate) mod development;
mod postgres;
pub(crate) mod roles;
mod systemd;
mod template;

use std::path::{Path, PathBuf};

use coffer_net::Clock;
use data_encoding::BASE64URL_NOPAD;

use crate::{
    accounts::Reach,
    cli::InitArguments,
    configuration::{Configuration, Postgres, Profile, Server},
    console,
    directory::{Directory, Role},
    failure::Failure,
    runtime, secret_file,
    serve::{
        self,
        store::{self, PASSWORD},
    },
};

/// A role's own key, 32 random bytes.
pub(crate) const SERVICE_KEY: &str = "service.key";
/// What the simulator expects of the vault, in the simulator's directory.
pub(crate) const SIMULATOR_CREDENTIAL: &str = "credential";
/// The same, in the vault's.
pub(crate) const VAULT_SIMULATOR_CREDENTIAL: &str = "simulator.credential";
/// The passphrase on a developer's machine, in the key server's directory.
const DEVELOPMENT_PASSPHRASE: &str = "passphrase";

/// Creates or completes a data directory.
pub(crate) fn run(arguments: &InitArguments) -> Result<(), Failure> {
    if arguments.print_systemd || arguments.systemd_dir.is_some() {
        return systemd::run(arguments);
    }
    let path = &arguments.place.dir;
    let profile = profile(path, arguments)?;
    let postgres = postgres_asked(path, arguments)?;
    let passphrase_file = arguments.passphrase_file.as_deref();
    let passphrase_file = match profile {
        Profile::Production => Some(production_passphrase(path, passphrase_file)?),
        Profile::Development => development_known(path, passphrase_file)?,
    };
    let directory = Directory::create(path)?;
    let mut report = Report::default();
    let completed = complete(&directory, profile, passphrase_file, postgres, &mut report);
    // Also of what was made before something failed: the next attempt may be the roles' own.
    directory.settle_owners()?;
    completed?;
    let invitation = match profile {
        Profile::Production => owner_link(&directory)?,
        Profile::Development => None,
    };
    report.print(&directory, profile, invitation.as_deref());
    Ok(())
}

/// Everything but the directories themselves.
fn complete(
    directory: &Directory,
    profile: Profile,
    passphrase_file: Option<PathBuf>,
    postgres: Option<Postgres>,
    report: &mut Report,
) -> Result<(), Failure> {
    let passphrase_file = match passphrase_file {
        Some(file) => file,
        None => development_passphrase(directory, postgres.as_ref(), report)?,
    };
    let written = directory.configuration();
    report.note(written.exists(), "coffer.toml", || {
        let text = template::configuration(profile, &passphrase_file, postgres.as_ref());
        development::write_public(&written, &text)
    })?;
    let postgres = Configuration::postgres_of(&written)?;
    for &role in Role::ALL {
        store::check_unmoved(directory, postgres.as_ref(), role)?;
    }
    secrets(directory, postgres.as_ref(), report)?;
    if let Some(postgres) = &postgres {
        postgres::complete(directory, postgres, report)?;
    }
    let clock = Clock::system();
    let beginning = roles::Beginning {
        profile,
        passphrase_file: &passphrase_file,
        postgres: postgres.as_ref(),
    };
    roles::complete(directory, &beginning, &clock, report)?;
    if profile == Profile::Development {
        report.note(
            development::is_complete(directory, clock.now()),
            "development certificates",
            || development::create(directory, clock.now()),
        )?;
    }
    Ok(())
}

/// Where the first owner will sign up, once the settings say where that is; the page comes with the dashboard.
fn owner_link(directory: &Directory) -> Result<Option<String>, Failure> {
    let Ok(configuration) = Configuration::load(&directory.configuration()) else {
        return Ok(None);
    };
    let invited = runtime::command(async {
        let (reach, _lock) = Reach::open(directory).await?;
        reach.invite_owner().await
    })?;
    let origin = serve::origin::dashboard(&configuration);
    Ok(Some(format!("{origin}/invitations/{}", invited.secret)))
}

/// What was there and what was made, for the person at the terminal.
#[derive(Default)]
pub(crate) struct Report {
    made: Vec<String>,
    there: Vec<String>,
}

impl Report {
    /// Makes what is not there yet and takes note.
    pub(crate) fn note(
        &mut self,
        is_there: bool,
        what: &str,
        make: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if is_there {
            self.there.push(what.to_owned());
        } else {
            make()?;
            self.made.push(what.to_owned());
        }
        Ok(())
    }

    fn print(&self, directory: &Directory, profile: Profile, invitation: Option<&str>) {
        console::say(&format!(
            "{}: {profile} profile",
            directory.path().display()
        ));
        for (word, list) in [
            ("created", &self.made),
            ("already there, left alone", &self.there),
        ] {
            if !list.is_empty() {
                console::say(&format!("  {word}: {}", list.join(", ")));
            }
        }
        match invitation {
            Some(link) => console::say(&format!(
                "  the owner's invitation, for one hour (init again makes a new one): {link}"
            )),
            None if profile == Profile::Production => console::say(
                "  next: set the origins in coffer.toml and put a certificate into api/ and vault/ (face-cert.pem, face-key.pem);\n  \
                 then run init again for the owner's invitation",
            ),
            None => {}
        }
        let dir = directory.path().display();
        console::say(&match profile {
            Profile::Production => format!(
                "  start it with: systemctl start coffer.target, or as one user: coffer up --dir {dir}"
            ),
            Profile::Development => format!("  start it with: coffer up --dir {dir}"),
        });
    }
}

/// The profile of what is there, or else what was asked for.
fn profile(path: &Path, arguments: &InitArguments) -> Result<Profile, Failure> {
    let asked = arguments.profile.map(Profile::from);
    let written = path.join("coffer.toml");
    if !written.exists() {
        return Ok(asked.unwrap_or(Profile::Production));
    }
    let found = Configuration::profile_of(&written)?;
    match asked.filter(|asked| *asked != found) {
        None => Ok(found),
        Some(_) => Err(Failure::Operator(format!(
            "{} is a {found} installation and stays one; use another directory",
            path.display()
        ))),
    }
}

/// The server that keeps the data: what was asked for at the beginning, and later the same.
fn postgres_asked(path: &Path, arguments: &InitArguments) -> Result<Option<Postgres>, Failure> {
    let asked = arguments.postgres.clone();
    let written = path.join("coffer.toml");
    if !written.exists() {
        let names = arguments.postgres_names.clone().unwrap_or_default();
        return Ok(asked.map(|address| Postgres::at(address, names)));
    }
    let found = Configuration::postgres_of(&written)?;
    let is_same = |asked: &Server| {
        found.as_ref().is_some_and(|found| {
            let names = arguments.postgres_names.as_ref();
            found.address == *asked && names.is_none_or(|names| found.names == *names)
        })
    };
    match asked.filter(|asked| !is_same(asked)) {
        None => Ok(found),
        Some(_) => Err(Failure::Operator(format!(
            "{} keeps its data elsewhere, as its coffer.toml says; data is not moved: use another directory",
            path.display()
        ))),
    }
}

/// In production the passphrase must not lie beside what it protects.
fn production_passphrase(directory: &Path, given: Option<&Path>) -> Result<PathBuf, Failure> {
    let Some(file) = known_passphrase(directory, given)? else {
        return Err(Failure::Operator(
            "production needs --passphrase-file FILE, outside the data directory and kept apart from its backups; make one with:\n  \
             (umask 077 && openssl rand -base64 33 > /etc/coffer/passphrase)"
                .to_owned(),
        ));
    };
    let file = absolute(&file)?;
    let inside =
        std::fs::canonicalize(directory).is_ok_and(|directory| file.starts_with(directory));
    if inside {
        return Err(Failure::Operator(format!(
            "{} is inside the data directory, beside what it protects; move it elsewhere",
            file.display()
        )));
    }
    secret_file::read_text(&file)?;
    Ok(file)
}

/// The passphrase file that is given, or else the one that the settings name.
fn known_passphrase(directory: &Path, given: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    let written = directory.join("coffer.toml");
    match given {
        Some(file) => Ok(Some(file.to_path_buf())),
        None if written.exists() => Configuration::passphrase_file_of(&written),
        None => Ok(None),
    }
}

/// On a developer's machine a file that the settings name and that is gone is made anew, or asked back.
fn development_known(directory: &Path, given: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    match given {
        Some(file) => absolute(file).map(Some),
        None => Ok(known_passphrase(directory, None)?.filter(|file| file.exists())),
    }
}

fn absolute(file: &Path) -> Result<PathBuf, Failure> {
    std::fs::canonicalize(file)
        .map_err(|error| Failure::Operator(format!("{} cannot be read: {error}", file.display())))
}

fn development_passphrase(
    directory: &Directory,
    postgres: Option<&Postgres>,
    report: &mut Report,
) -> Result<PathBuf, Failure> {
    let path = directory.file(Role::Keys, DEVELOPMENT_PASSPHRASE);
    report.note(path.exists(), "passphrase", || {
        refuse_if_used(directory, postgres, Role::Keys, DEVELOPMENT_PASSPHRASE)?;
        create_text_secret(&path)
    })?;
    Ok(path)
}

fn secrets(
    directory: &Directory,
    postgres: Option<&Postgres>,
    report: &mut Report,
) -> Result<(), Failure> {
    for role in [Role::Api, Role::Vault] {
        let path = directory.file(role, SERVICE_KEY);
        report.note(path.exists(), &format!("{role}/{SERVICE_KEY}"), || {
            refuse_if_used(directory, postgres, role, SERVICE_KEY)?;
            let key = coffer_crypto::random_secret().map_err(no_randomness)?;
            // Exposed to be written to the file that is its home.
            secret_file::create(&path, key.expose())
        })?;
    }
    let paths = [
        directory.file(Role::Simulator, SIMULATOR_CREDENTIAL),
        directory.file(Role::Vault, VAULT_SIMULATOR_CREDENTIAL),
    ];
    report.note(
        paths.iter().all(|path| path.exists()),
        "simulator credential",
        || shared_secret(&paths),
    )
}

/// A new secret would not open what the lost one closed. That there is something shows by the role's database; a server is not
/// asked: there it shows by what the role has had since its database was made.
fn refuse_if_used(
    directory: &Directory,
    postgres: Option<&Postgres>,
    role: Role,
    name: &str,
) -> Result<(), Failure> {
    let secret = directory.file(role, name);
    let mut traces = vec![
        directory.database(role),
        directory.file(role, PASSWORD),
        // Made last of all: from then on each role's secrets were in use.
        directory.authority(),
    ];
    traces.extend(postgres.map(|_| directory.file(role, roles::CERTIFICATE)));
    let trace = traces.iter().find(|path| **path != secret && path.exists());
    let Some(trace) = trace else {
        return Ok(());
    };
    let (secret, trace) = (secret.display(), trace.display());
    Err(Failure::Operator(format!(
        "{secret} is missing though {trace} shows that it was in use; restore it from its backup, or begin in another directory"
    )))
}

/// The same secret in several places; copies that are there already count for nothing without the others.
fn shared_secret(paths: &[PathBuf]) -> Result<(), Failure> {
    let secret = text_secret()?;
    paths
        .iter()
        .try_for_each(|path| secret_file::replace(path, secret.expose()))
}

fn create_text_secret(path: &Path) -> Result<(), Failure> {
    secret_file::create(path, text_secret()?.expose())
}

/// 256 random bits as text.
fn text_secret() -> Result<coffer_crypto::SecretBytes, Failure> {
    let key = coffer_crypto::random_secret().map_err(no_randomness)?;
    // Exposed to be written as text, which is a secret again.
    Ok(coffer_crypto::SecretBytes::from_vec(
        BASE64URL_NOPAD.encode(key.expose()).into_bytes(),
    ))
}

fn no_randomness(error: coffer_crypto::Error) -> Failure {
    Failure::doing("making a secret", error)
}
