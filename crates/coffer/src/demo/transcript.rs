//! What the demo prints: titles, requests as curl, answers, and checks that decide how it ends.

use serde_json::Value;

use crate::{console, failure::Failure};

/// The longest answer that is shown whole.
const SHOWN_MAX: usize = 900;

/// The transcript so far.
#[derive(Default)]
pub(super) struct Transcript {
    acts: u32,
    checks: u32,
    failed: Vec<String>,
}

impl Transcript {
    /// Begins an act.
    pub(super) fn title(&mut self, text: &str) {
        console::say(&format!("\n{}. {text}", self.acts));
        self.acts = self.acts.saturating_add(1);
    }

    /// Says something.
    pub(super) fn line(&self, text: &str) {
        console::say(&format!("   {text}"));
    }

    /// Shows a request as one would make it with curl.
    pub(super) fn sent(
        &self,
        method: &str,
        url: &str,
        headers: &[(String, String)],
        body: Option<&Value>,
    ) {
        let mut command = format!("$ curl -X {method} {url}");
        for (name, value) in headers {
            command.push_str(&format!(" -H '{name}: {}'", shortened(value)));
        }
        match body {
            Some(Value::String(form)) => command.push_str(&format!(" -d '{form}'")),
            Some(json) => command.push_str(&format!(" -d '{json}'")),
            None => {}
        }
        self.line(&command);
    }

    /// Shows an answer.
    pub(super) fn came(&self, status: u16, body: &str) {
        let shown: String = body.chars().take(SHOWN_MAX).collect();
        self.line(&format!("{status} {}", shown.trim_end()));
    }

    /// What must be true here.
    pub(super) fn check(&mut self, rule: &str, holds: bool) {
        self.checks = self.checks.saturating_add(1);
        console::say(&format!("   {} {rule}", if holds { "✓" } else { "✗" }));
        if !holds {
            self.failed.push(rule.to_owned());
        }
    }

    /// How it ended.
    pub(super) fn verdict(self) -> Result<(), Failure> {
        if self.failed.is_empty() {
            console::say(&format!("\nAll {} checks hold.", self.checks));
            return Ok(());
        }
        Err(Failure::System(format!(
            "{} of {} checks do not hold: {}",
            self.failed.len(),
            self.checks,
            self.failed.join("; ")
        )))
    }
}

/// A key or ticket is shown by its ends only.
fn shortened(value: &str) -> String {
    let characters: Vec<char> = value.chars().collect();
    if characters.len() <= 48 {
        return value.to_owned();
    }
    let head: String = characters.iter().take(24).collect();
    let tail: String = characters.iter().rev().take(4).rev().collect();
    format!("{head}…{tail}")
}
