//! A backup of a server that is away is made when it is back.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use coffer_testkit::{Installation, PrivateServer, Server};

use crate::BINARY;

/// What a process ends with when what it needs is away.
const AWAY: Option<i32> = Some(75);

fn backup(installation: &Installation, to: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command
        .args(["backup", "create", "api", "--passphrase-file"])
        .arg(to.join("passphrase"))
        .arg("--to")
        .arg(to)
        .arg("--dir")
        .arg(installation.directory())
        .env_clear()
        .stderr(Stdio::piped());
    command
}

#[tokio::test]
async fn a_backup_that_may_wait_is_made_when_the_server_is_back() {
    if Server::shared().is_none() {
        return;
    }
    let server = PrivateServer::start(&[]);
    let installation = Installation::make(BINARY, Some(server.server()));
    let store = installation.store("api", coffer_engine::MIGRATIONS, &[]);
    store.await.close().await;
    let place = tempfile::tempdir().unwrap();
    let passphrase = place.path().join("passphrase");
    fs::write(&passphrase, "Zq0mT7fKx2Lr9Vw4Bn6H").unwrap();
    fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).unwrap();
    server.kill();
    let refused = backup(&installation, place.path()).output().unwrap();
    assert_eq!(refused.status.code(), AWAY, "{refused:?}");

    let mut waiting = backup(&installation, place.path());
    let mut waiting = waiting.args(["--wait", "10"]).spawn().unwrap();
    let mut said = BufReader::new(waiting.stderr.take().unwrap()).lines();
    let first = said.next().unwrap().unwrap();
    assert!(first.contains("tried again in"), "{first}");
    server.start_again(&[]);
    assert!(waiting.wait().unwrap().success(), "{:?}", said.last());
    let files = fs::read_dir(place.path()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.ends_with(".backup")).count(), 1);
}
