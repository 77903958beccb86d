//! One installation and its operator: what `init` makes, which settings and secrets are refused and what is said of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");
/// What a process ends with when its operator must change something.
const OPERATOR: Option<i32> = Some(2);
const ORIGINS: [(&str, &str); 4] = [
    ("COFFER_FACES_API_ORIGIN", "https://api.shop.eu"),
    ("COFFER_FACES_CHECKOUT_ORIGIN", "https://pay.shop.eu"),
    ("COFFER_FACES_DASHBOARD_ORIGIN", "https://desk.shop.eu"),
    ("COFFER_FACES_FIELDS_ORIGIN", "https://fields.shop.eu"),
];

/// A data directory that only this test uses.
struct Installation(TempDir);

impl Installation {
    fn development() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        made.accepted(&["init", "--profile", "development"], &[]);
        made
    }

    /// Its passphrase file is beside the data directory, not in it.
    fn production() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        secret(&made.passphrase(), "Zq0mT7fKx2Lr9Vw4Bn6H");
        let passphrase = made.passphrase();
        made.accepted(
            &["init", "--passphrase-file", passphrase.to_str().unwrap()],
            &[],
        );
        made
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn passphrase(&self) -> PathBuf {
        self.0.path().join("passphrase")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.data().join(name)
    }

    /// Runs a command on it with this environment and no other.
    fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = Command::new(BINARY);
        command.args(arguments).arg("--dir").arg(self.data());
        command.env_clear().envs(environment.iter().copied());
        command.output().unwrap()
    }

    #[track_caller]
    fn accepted(&self, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let output = self.run(arguments, environment);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What is said to the operator, who must change something.
    #[track_caller]
    fn refused(&self, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let output = self.run(arguments, environment);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), OPERATOR, "{arguments:?}: {errors}");
        assert!(!errors.contains("panicked"), "{errors}");
        errors
    }
}

fn secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// Every file below a directory, with its content.
fn content(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(content(&path));
        } else if path
            .extension()
            .is_none_or(|ending| !ending.to_string_lossy().starts_with("db"))
        {
            found.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn init_is_for_production_unless_told_and_twice_harms_nothing() {
    let installation = Installation::production();
    let before = content(&installation.data());
    let written = fs::read_to_string(installation.file("coffer.toml")).unwrap();
    assert!(written.contains("profile = \"production\""), "{written}");
    installation.accepted(&["init"], &[]);
    assert_eq!(content(&installation.data()), before);
    let refusal = installation.refused(&["init", "--profile", "development"], &[]);
    assert!(refusal.contains("stays one"), "{refusal}");
    for handy in ["public/development-ca.pem", "keys/passphrase"] {
        assert!(!installation.file(handy).exists(), "{handy}");
    }
}

#[test]
fn every_role_s_files_are_its_own() {
    let installation = Installation::development();
    for role in ["api", "vault", "keys", "simulator"] {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&installation.file(role)), 0o700, "{role}");
        for (path, _) in content(&installation.file(role)) {
            let secret = !path.to_string_lossy().ends_with("cert.pem") && !path.ends_with("lock");
            assert!(!secret || mode(&path) & 0o077 == 0, "{}", path.display());
        }
    }
}

#[test]
fn an_unknown_setting_is_refused_with_its_line_and_a_suggestion() {
    let installation = Installation::development();
    let settings = installation.file("coffer.toml");
    fs::write(
        &settings,
        "profile = \"development\"\n\n[faces]\nfeilds = \"127.0.0.1:1\"\n",
    )
    .unwrap();
    for command in [&["up"][..], &["serve", "vault"], &["env"]] {
        let refusal = installation.refused(command, &[]);
        for word in ["coffer.toml, line 4", "`feilds`", "did you mean `fields`?"] {
            assert!(refusal.contains(word), "{refusal}");
        }
    }
    fs::write(&settings, "profile = \"development\"\n[faces\n").unwrap();
    let refusal = installation.refused(&["up"], &[]);
    assert!(refusal.contains("line 2"), "{refusal}");
}

#[test]
fn the_environment_overrides_the_file_and_is_refused_by_name() {
    let installation = Installation::development();
    let exports = installation.accepted(&["env"], &[("COFFER_FACES_API", "127.0.0.1:9443")]);
    assert!(
        exports.contains("COFFER_URL='https://localhost:9443'"),
        "{exports}"
    );
    // What `coffer env` exports is no setting, so that its shell can go on using coffer.
    let exported = [
        ("COFFER_URL", "https://localhost:9443"),
        ("COFFER_API_KEY", "sk_test_x"),
        ("COFFER_CA", "/ca.pem"),
    ];
    installation.accepted(&["env"], &exported);
    for (name, value) in [
        ("COFFER_FACES_APIS", "127.0.0.1:9443"),
        ("COFFER_FACE_API", "127.0.0.1:9443"),
        ("COFFER_FACES_API", "everywhere"),
        ("COFFER_PROFILE", "testing"),
        ("COFFER_METRICS_API", "0.0.0.0:9464"),
    ] {
        let refusal = installation.refused(&["env"], &[(name, value)]);
        let key = name.rsplit('_').next().unwrap().to_lowercase();
        assert!(
            refusal.contains(name) || refusal.contains(&format!("[metrics] {key}")),
            "{refusal}"
        );
    }
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let installation = Installation::development();
    for (role, file) in [
        ("keys", "keys/passphrase"),
        ("keys", "keys/key.pem"),
        ("vault", "vault/service.key"),
        ("vault", "vault/simulator.credential"),
        ("vault", "vault/key.pem"),
        ("vault", "vault/face-key.pem"),
        ("api", "api/service.key"),
        ("api", "api/key.pem"),
        ("api", "api/face-key.pem"),
        ("simulator", "simulator/credential"),
        ("simulator", "simulator/face-key.pem"),
    ] {
        let path = installation.file(file);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let refusal = installation.refused(&["serve", role, "--allow-root"], &[]);
        assert!(
            refusal.contains("chmod 600") && refusal.contains(file),
            "{file}: {refusal}"
        );
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
    fs::set_permissions(installation.file("vault"), Permissions::from_mode(0o755)).unwrap();
    let refusal = installation.refused(&["serve", "vault", "--allow-root"], &[]);
    assert!(refusal.contains("chmod 700"), "{refusal}");
}

#[test]
fn a_secret_that_is_short_or_from_an_example_is_refused_and_not_repeated() {
    let installation = Installation::development();
    for (role, file, weak) in [
        ("keys", "keys/passphrase", "Zq0mT7f"),
        ("keys", "keys/passphrase", "changeme-changeme-changeme"),
        (
            "vault",
            "vault/simulator.credential",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
        ("simulator", "simulator/credential", "Zq0mT7f"),
        ("api", "api/service.key", "Zq0mT7fKx2Lr9Vw4Bn6H"),
        ("vault", "vault/service.key", ""),
    ] {
        let path = installation.file(file);
        let kept = fs::read(&path).unwrap();
        secret(&path, weak);
        let refusal = installation.refused(&["serve", role, "--allow-root"], &[]);
        assert!(refusal.contains(file), "{file}: {refusal}");
        assert!(weak.is_empty() || !refusal.contains(weak), "{refusal}");
        fs::write(&path, kept).unwrap();
    }

    let place = Installation(tempfile::tempdir().unwrap());
    let passphrase = place.passphrase();
    secret(&passphrase, "passphrase");
    let refusal = place.refused(
        &["init", "--passphrase-file", passphrase.to_str().unwrap()],
        &[],
    );
    assert!(refusal.contains("openssl rand"), "{refusal}");
    assert!(!place.data().exists());
}

#[test]
fn what_is_public_every_role_can_read_after_init() {
    let installation = Installation::production();
    let authority = installation.data().join("public/postgres-ca.pem");
    fs::write(&authority, "as copied under a narrow umask").unwrap();
    fs::set_permissions(&authority, fs::Permissions::from_mode(0o600)).unwrap();
    installation.accepted(&["init"], &[]);
    assert_eq!(
        fs::metadata(&authority).unwrap().permissions().mode() & 0o777,
        0o644
    );
}

#[test]
fn a_secret_that_was_lost_is_not_made_anew() {
    let installation = Installation::production();
    for role in ["api", "vault"] {
        let key = installation.data().join(role).join("service.key");
        let kept = fs::read(&key).unwrap();
        fs::remove_file(&key).unwrap();
        // No store shows it: the role has not run yet, or its directory is not mounted.
        let refusal = installation.refused(&["init"], &[]);
        assert!(refusal.contains("restore it from its backup"), "{refusal}");
        assert!(!key.exists());
        fs::write(&key, kept).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn no_role_runs_as_root_unless_a_developer_says_so() {
    let development = Installation::development();
    let production = Installation::production();
    for command in [&["up"][..], &["serve", "keys"]] {
        let allowed = [command, &["--allow-root"]].concat();
        let refusal = production.refused(&allowed, &ORIGINS);
        assert!(refusal.contains("development profile only"), "{refusal}");
        if rustix::process::geteuid().is_root() {
            for (installation, origins) in [(&development, &[][..]), (&production, &ORIGINS)] {
                let refusal = installation.refused(command, origins);
                assert!(refusal.contains("does not run as root"), "{refusal}");
            }
        }
    }
}

#[test]
fn a_command_on_no_installation_says_how_to_make_one() {
    let place = Installation(tempfile::tempdir().unwrap());
    for command in [
        &["up"][..],
        &["serve", "api"],
        &["env"],
        &["listen"],
        &["keys", "status"],
    ] {
        let refusal = place.refused(command, &[]);
        assert!(refusal.contains("coffer init"), "{refusal}");
    }
}

#[test]
fn listening_needs_a_running_development_installation() {
    let development = Installation::development();
    let refusal = development.refused(&["listen"], &[]);
    assert!(refusal.contains("coffer up"), "{refusal}");
    let refusal = development.refused(&["listen", "--forward", "localhost:3000"], &[]);
    assert!(refusal.contains("http://"), "{refusal}");
    let refusal = Installation::production().refused(&["listen"], &ORIGINS);
    assert!(refusal.contains("for development"), "{refusal}");
}

#[test]
fn keys_are_managed_without_a_running_api() {
    let made = Installation::development();
    let create = [
        "api-keys",
        "create",
        "--account",
        "shop",
        "--name",
        "server",
    ];
    let shown = made.accepted(
        &[
            &create[..],
            &[
                "--permissions",
                "reporting",
                "--addresses",
                "203.0.113.0/24,::1",
            ],
        ]
        .concat(),
        &[],
    );
    let (id, text) = shown.trim().split_once('\n').unwrap();
    assert!(text.starts_with("sk_test_"), "{text}");
    let task = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(&made.accepted(arguments, &[])).unwrap()
    };
    let key = task(&["api-keys", "show", id]);
    assert_eq!(key["permissions"]["usage"], "read");
    assert_eq!(
        key["addresses"],
        serde_json::json!(["203.0.113.0/24", "::1"])
    );
    let rotated = task(&["api-keys", "rotate", id, "--overlap-hours", "1"]);
    assert_eq!(rotated["state"], "rotating");
    assert_ne!(rotated["secret"], text);
    let changed = task(&["api-keys", "change", id, "--permissions", "payments:write"]);
    assert_eq!(changed["permissions"]["usage"], "none");
    assert_eq!(changed["name"], "server");
    for (act, state) in [
        ("freeze", "frozen"),
        ("unfreeze", "rotating"),
        ("revoke", "revoked"),
    ] {
        assert_eq!(task(&["api-keys", act, id])["state"], state);
    }
    let table = made.accepted(&["api-keys", "list", "--account", "shop"], &[]);
    assert!(
        table.contains("revoked") && !table.contains(text),
        "{table}"
    );

    assert!(
        made.refused(&["api-keys", "unfreeze", id], &[])
            .contains("revoked")
    );
    let wrong = ["--permissions", "everything"];
    let refused = made.refused(&[&create[..], &wrong].concat(), &[]);
    assert!(refused.contains("permissions"), "{refused}");
    let list = made.accepted(&["accounts", "list"], &[]);
    assert!(list.contains("test only  shop"), "{list}");
    let missing = made.refused(&["accounts", "activate", "shop"], &[]);
    assert!(missing.contains("not activated"), "{missing}");
}

#[test]
fn a_signing_key_that_is_made_here_is_kept_here() {
    let made = Installation::development();
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let (private, next) = (file("shop.pem"), file("next.pem"));
    let create = ["api-keys", "create", "--account", "shop"];
    let client = made.accepted(&create, &[]);
    let client = client.lines().next().unwrap();
    let generate = ["signing-keys", "generate", "--account", "shop", "--out"];
    let task = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(&made.accepted(arguments, &[])).unwrap()
    };
    let key = task(&[&generate[..], &[&private, "--client", client]].concat());
    assert_eq!(key["client"], client);
    let (id, text) = (key["id"].as_str().unwrap(), fs::read_to_string(&private));
    assert!(text.unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
    assert_eq!(
        fs::metadata(&private).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        (&key["generated"], &key["private_key"]),
        (&false.into(), &serde_json::Value::Null)
    );
    // Neither a file that is there is written over, nor is one left of a key that was not registered.
    made.refused(&[&generate[..], &[&private]].concat(), &[]);
    let closed = file("closed.pem");
    let rotate = ["signing-keys", "rotate", id, "--overlap-hours"];
    made.refused(&[&rotate[..], &["1000", "--out", &closed]].concat(), &[]);
    assert!(!Path::new(&closed).exists());
    let rotated = task(
        &[
            &rotate[..],
            &["1", "--algorithm", "rsa-pss-sha512", "--out", &next],
        ]
        .concat(),
    );
    assert_eq!(rotated["algorithm"], "rsa-pss-sha512");
    assert_eq!(rotated["client"], client);
    let public = file("public.pem");
    fs::write(&public, rotated["public_key"].as_str().unwrap()).unwrap();
    let register = [
        "signing-keys",
        "register",
        "--account",
        "shop",
        "--public-key",
    ];
    let refused = made.refused(&[&register[..], &[&public]].concat(), &[]);
    assert!(refused.contains("never registered before"), "{refused}");
    let refused = made.refused(&[&register[..], &[&private]].concat(), &[]);
    assert!(refused.contains("public half alone"), "{refused}");
    assert_eq!(task(&["signing-keys", "revoke", id])["state"], "revoked");
    let table = made.accepted(&["signing-keys", "list", "--account", "shop"], &[]);
    assert!(
        table.contains("revoked") && table.contains("active"),
        "{table}"
    );
}
