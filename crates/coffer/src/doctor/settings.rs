//! The settings: whether a role would start with them.

use super::{Finding, Findings, code::Code, sight::Sight};

/// What is unknown, misspelt, missing, or shares what must be apart.
pub(super) fn readable(sight: &Sight) -> Findings {
    let refused = sight.configuration.as_ref().err().map(|failure| {
        Finding::of(
            Code::SettingsRefused,
            failure.to_string(),
            format!("change {}", sight.directory.configuration().display()),
        )
    });
    refused.into_iter().collect()
}

/// Which rules hold.
pub(super) fn profile(sight: &Sight) -> Findings {
    if sight.is_production() {
        return Vec::new();
    }
    vec![Finding::of(
        Code::ProfileDevelopment,
        "this is a development installation: no live keys, the local authority, root allowed",
        "for anything else: coffer init in another directory, which is production by default",
    )]
}
