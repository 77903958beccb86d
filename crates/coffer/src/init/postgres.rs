//! The beginning on PostgreSQL: a password for each role, the statements for an administrator to run, and the proof that
//! every role gets in. Users and databases are made by the administrator: no role has the rights to.

use std::{fs, path::Path};

use super::{Report, create_text_secret, refuse_if_used};
use crate::{
    configuration::Postgres,
    directory::{Directory, Role},
    failure::Failure,
    runtime, secret_file,
    serve::{
        schema::Schema,
        store::{PASSWORD, Store},
    },
};

/// What the administrator runs, in the data directory for as long as it is needed.
const STATEMENTS_FILE: &str = "postgres.sql";

/// First of all: passwords are hashed as they should be, and do not get into the server's log or statistics.
const PREAMBLE: &str = "\
-- Coffer's users and databases at PostgreSQL, for a superuser to run once. This file holds passwords: coffer init deletes it.
SET password_encryption = 'scram-sha-256';
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';
SET pg_stat_statements.track_utility = off;
";

/// Makes the passwords that are missing, and sees to it that every role's database is there before anything goes into one.
pub(super) fn complete(
    directory: &Directory,
    postgres: &Postgres,
    report: &mut Report,
) -> Result<(), Failure> {
    for role in roles() {
        let path = directory.file(role, PASSWORD);
        report.note(path.exists(), &format!("{role}/{PASSWORD}"), || {
            refuse_if_used(directory, Some(postgres), role, PASSWORD)?;
            create_text_secret(&path)
        })?;
    }
    let file = directory.path().join(STATEMENTS_FILE);
    let is_settled = directory.authority().exists() && !file.exists();
    report.note(
        is_settled,
        "PostgreSQL databases",
        || match runtime::command(sign_in(directory, postgres)) {
            Ok(()) => remove(&file),
            Err(Failure::Operator(reason) | Failure::Away(reason)) => {
                secret_file::replace(&file, statements(directory, postgres)?.as_bytes())?;
                Err(Failure::Operator(advice(
                    directory, postgres, &file, &reason,
                )))
            }
            Err(Failure::System(reason)) => Err(Failure::System(reason)),
        },
    )
}

fn roles() -> impl Iterator<Item = Role> {
    let all = Role::ALL.iter().copied();
    all.filter(|role| role.is_on_postgres())
}

/// Opens each role's database as the role will.
async fn sign_in(directory: &Directory, postgres: &Postgres) -> Result<(), Failure> {
    for role in roles() {
        let Schema {
            migrations,
            statements,
        } = Schema::of(role);
        let store = Store::of(directory, Some(postgres), role)?;
        store.open(migrations, statements).await?.close().await;
    }
    Ok(())
}

fn remove(file: &Path) -> Result<(), Failure> {
    if !file.exists() {
        return Ok(());
    }
    fs::remove_file(file)
        .map_err(|error| Failure::doing(format_args!("deleting {}", file.display()), error))
}

/// What makes the users and databases. They are made once: one that is there already, perhaps another installation's, makes
/// its statement fail and keeps its password. The server's log of a failed statement must not repeat a row.
fn statements(directory: &Directory, postgres: &Postgres) -> Result<String, Failure> {
    roles().try_fold(PREAMBLE.to_owned(), |mut text, role| {
        let name = postgres.name_of(role);
        let password = secret_file::read_text(&directory.file(role, PASSWORD))?;
        // Exposed because this is how the administrator's program learns it.
        let password = String::from_utf8_lossy(password.expose()).replace('\'', "''");
        text.push_str(&format!(
            "\nCREATE ROLE {name} LOGIN PASSWORD '{password}';\n\
             ALTER ROLE {name} SET log_error_verbosity = 'terse';\n\
             CREATE DATABASE {name} OWNER {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C';\n\
             REVOKE ALL ON DATABASE {name} FROM PUBLIC;\n"
        ));
        Ok(text)
    })
}

fn advice(directory: &Directory, postgres: &Postgres, file: &Path, reason: &str) -> String {
    let authority = postgres
        .ca_file
        .as_ref()
        .map(|name| name.path(directory))
        .filter(|path| !path.exists())
        .map(|path| {
            format!(
                "  put the certificate of the authority that vouches for the server into {}\n",
                path.display()
            )
        })
        .unwrap_or_default();
    let (file, shown, server) = (
        file.display(),
        directory.path().display(),
        &postgres.address,
    );
    format!(
        "{reason}\n\
         The roles' databases at {server} are not ready. Nothing is lost:\n\
         {authority}  \
           run as a PostgreSQL superuser: psql < {file}\n    \
             (on the server's own machine, as root: runuser -u postgres psql < {file}; users and databases that are there\n    \
             already keep their passwords: put back ROLE/{PASSWORD}, or have it changed: ALTER ROLE … PASSWORD)\n  \
           then run coffer init --dir {shown} again; it goes on from here and deletes {STATEMENTS_FILE}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installation() -> (tempfile::TempDir, Directory, Postgres) {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::create(place.path()).unwrap();
        // Nobody listens there, and nobody can without being told: the port is one of the system's own.
        let postgres = toml::from_str("address = \"127.0.0.1:1\"\nnames = \"shop\"").unwrap();
        (place, directory, postgres)
    }

    #[test]
    fn what_an_administrator_must_do_is_written_down_and_nothing_else_is_begun() {
        let (_place, directory, postgres) = installation();
        for _ in 0..2 {
            let failure = complete(&directory, &postgres, &mut Report::default()).unwrap_err();
            let Failure::Operator(advice) = failure else {
                panic!("an operator can repair it: {failure}");
            };
            let file = directory.path().join(STATEMENTS_FILE);
            assert!(
                advice.contains(&format!("psql < {}", file.display())),
                "{advice}"
            );
            let text = fs::read_to_string(&file).unwrap();
            for role in ["api", "vault", "keys"] {
                let password = directory.role(role.parse().unwrap()).join(PASSWORD);
                let password = fs::read_to_string(password).unwrap();
                assert!(!advice.contains(&password));
                let created = format!("CREATE ROLE shop_{role} LOGIN PASSWORD '{password}';");
                assert!(text.contains(&created), "{text}");
            }
            assert!(!directory.authority().exists());
        }
    }

    #[test]
    fn a_quote_in_a_password_does_not_end_it() {
        let (_place, directory, postgres) = installation();
        for role in roles() {
            secret_file::create(&directory.file(role, PASSWORD), b"Zq0mT7fK'; DROP x").unwrap();
        }
        let text = statements(&directory, &postgres).unwrap();
        assert!(text.contains("PASSWORD 'Zq0mT7fK''; DROP x';"), "{text}");
    }
}
