//! The document of permissions, made from the table of routes: which endpoint needs which, and what presets grant.

use std::fmt::Write as _;

use coffer_core::permission::{Access, Permission, Preset, Resource};

use crate::routes::routes;

const BEGIN: &str = "# Permissions

Written from the table of routes; a test compares it. A key is given `none`, `read` or `write` for each resource, and `write`
includes `read`. What was not given is refused with 403 and `required_permission`.
";

/// The document, as Markdown.
#[must_use]
pub fn permissions() -> String {
    let mut text = BEGIN.to_owned();
    // Writing to a String cannot fail.
    for &resource in Resource::ALL {
        let _ = write!(text, "\n## `{resource}`\n\n");
        let mut named = false;
        for access in [Access::Read, Access::Write] {
            let needed = Permission { resource, access };
            for row in routes()
                .iter()
                .filter(|row| row.permission() == Some(needed))
            {
                let _ = writeln!(text, "- `{needed}`: `{}` – {}", row.route(), row.summary());
                named = true;
            }
        }
        if !named {
            let _ = writeln!(text, "No endpoint needs it yet.");
        }
    }
    let _ = write!(text, "\n## Presets\n\n| preset | grants |\n|---|---|\n");
    for preset in Preset::ALL {
        let _ = writeln!(text, "| `{preset}` | {} |", preset.permissions());
    }
    let _ = write!(text, "\n## Without a permission\n\n");
    for row in routes()
        .iter()
        .filter(|row| row.permission().is_none() && row.path().starts_with("/v1/"))
    {
        let who = if row.rights().is_some() && !row.open_to_all() {
            "any key that works"
        } else if row.rights().is_some() {
            "a publishable key, or a checkout's secret"
        } else {
            "anyone"
        };
        let _ = writeln!(text, "- `{}`: {who} – {}", row.route(), row.summary());
    }
    text
}
