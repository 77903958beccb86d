//! `coffer tls check`: how the TLS of our faces, or of any server, looks from outside, with what to do about it.

use std::path::{Path, PathBuf};

use coffer_net::{
    Clock,
    outbound::Roots,
    tls_check::{self, Report, Target, VersionFound},
};
use serde_json::{Value, json};

use crate::{
    admin::Socket,
    cli::TlsCheckArguments,
    configuration::Configuration,
    console,
    directory::{Directory, Role},
    failure::Failure,
    runtime, serve,
};

/// Checks and prints; fails when there is something to mend or somebody cannot be reached.
pub(crate) fn check(arguments: &TlsCheckArguments) -> Result<(), Failure> {
    coffer_net::tls::install_provider();
    runtime::command(async {
        let (targets, roots) = match &arguments.target {
            Some(target) => (vec![target.clone()], roots_if_any(arguments)?),
            None => faces(arguments).await?,
        };
        let now_s = Clock::system().now().as_seconds();
        let (mut reports, mut unreachable) = (Vec::new(), Vec::new());
        for target in &targets {
            match tls_check::check(target, &roots, now_s).await {
                Ok(report) => reports.push(report),
                Err(error) => unreachable.push((target.to_string(), error.to_string())),
            }
        }
        if arguments.json {
            let away = unreachable.iter();
            let away = away.map(|(target, reason)| json!({"target": target, "reason": reason}));
            let away: Vec<Value> = away.collect();
            console::say(&json!({"reports": reports, "unreachable": away}).to_string());
        } else {
            for report in &reports {
                console::print(&table(report));
            }
        }
        verdict(&reports, &unreachable)
    })
}

fn verdict(reports: &[Report], unreachable: &[(String, String)]) -> Result<(), Failure> {
    if !unreachable.is_empty() {
        let all = unreachable.iter();
        let all: Vec<String> = all
            .map(|(target, reason)| format!("{target} cannot be reached: {reason}"))
            .collect();
        return Err(Failure::Operator(all.join("\n")));
    }
    let bad = reports.iter().filter(|report| !report.findings.is_empty());
    match bad.count() {
        0 => Ok(()),
        count => Err(Failure::System(format!(
            "{count} of {} checked: something is to be mended",
            reports.len()
        ))),
    }
}

/// Every public face of the installation, where the running api says they are, or else the settings; and whom its clients
/// trust.
async fn faces(arguments: &TlsCheckArguments) -> Result<(Vec<Target>, Roots), Failure> {
    let directory = Directory::open(&arguments.place.dir)?;
    let configuration = Configuration::load(&directory.configuration())?;
    let socket = Socket::of(&directory, Role::Api);
    let origins = match socket.get("/status").await {
        Ok(status) => ["api_origin", "checkout_origin", "fields_origin"]
            .iter()
            .filter_map(|name| status.get(name)?.as_str().map(str::to_owned))
            .collect(),
        Err(_) => configured(&configuration),
    };
    let targets = origins.iter().map(|origin| target_of(origin));
    let targets = targets.collect::<Result<Vec<_>, _>>()?;
    let roots = serve::roots(&directory, &configuration, configuration.acme_authority())?;
    Ok((targets, with_file(roots, arguments.ca_file.as_deref())?))
}

fn configured(configuration: &Configuration) -> Vec<String> {
    let faces = &configuration.faces;
    vec![
        serve::origin::api(configuration, faces.api.port()),
        serve::origin::checkout(configuration, faces.checkout.port()),
        serve::origin::fields(configuration, faces.fields.port()),
    ]
}

/// The server of an origin.
pub(crate) fn target_of(origin: &str) -> Result<Target, Failure> {
    let parsed = serve::origin::authority(origin).parse();
    parsed.map_err(|malformed| Failure::Operator(format!("{origin}: {malformed}")))
}

/// Any server can be checked from anywhere; where there is an installation, its own authorities count as well.
fn roots_if_any(arguments: &TlsCheckArguments) -> Result<Roots, Failure> {
    let roots = match Directory::open(&arguments.place.dir) {
        Ok(directory) => {
            let configuration = Configuration::load(&directory.configuration())?;
            serve::roots(&directory, &configuration, configuration.acme_authority())?
        }
        Err(_) => Roots::public(),
    };
    with_file(roots, arguments.ca_file.as_deref())
}

fn with_file(roots: Roots, file: Option<&Path>) -> Result<Roots, Failure> {
    let Some(path) = file else {
        return Ok(roots);
    };
    let pem = serve::certificates::read_public(path)?;
    roots
        .with_pem(&pem)
        .map_err(|error| Failure::Operator(format!("{}: {error}", PathBuf::from(path).display())))
}

/// For people.
fn table(report: &Report) -> String {
    let names = |accepted: bool| {
        let versions = report.versions.iter();
        let versions = versions.filter(|version| version.accepted == accepted);
        versions.map(|version| version.name).collect::<Vec<_>>()
    };
    let mut text = format!("{}  grade {}\n", report.target, report.grade);
    let mut row = |name: &str, value: &str| text.push_str(&format!("  {name:<12} {value}\n"));
    row("accepted", &names(true).join(", "));
    row("refused", &names(false).join(", "));
    for version in report.versions.iter().filter(|version| version.accepted) {
        row(version.name, &suites(version));
    }
    let groups = report.groups.iter().filter(|group| group.accepted);
    row(
        "groups",
        &groups
            .map(|group| group.name)
            .collect::<Vec<_>>()
            .join(", "),
    );
    if let Some(found) = &report.certificate {
        row("certificate", &found.names.join(", "));
        row(
            "",
            &format!(
                "{}, {}, until {}",
                found.key, found.signature, found.not_after
            ),
        );
        let trusted = if found.trusted {
            "trusted"
        } else {
            "not trusted"
        };
        row("", &format!("chain of {}, {trusted}", found.chain_length));
    }
    row("hsts", report.hsts.as_deref().unwrap_or("none"));
    for finding in &report.findings {
        let (code, severity) = (finding.code, finding.severity);
        row(
            severity.as_str(),
            &format!("{code}: {} {}", finding.detail, finding.advice),
        );
    }
    text
}

fn suites(version: &VersionFound) -> String {
    version.suites.join(", ")
}
