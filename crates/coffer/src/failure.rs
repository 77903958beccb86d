//! Why a command ended without doing its work, by what its user can do about it.

use std::{fmt, process::ExitCode};

/// The exit code of a process whose operator must change something first; starting it again alone will not help.
pub(crate) const EXIT_OPERATOR: u8 = 2;
/// The exit code of a process that needs what is away: starting it again later is all that it takes.
pub(crate) const EXIT_AWAY: u8 = 75;

/// A command's failure. Its text is for the person at the terminal and never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The operator must change a file, a setting or an argument.
    Operator(String),
    /// What is needed cannot be reached now; trying again later will help.
    Away(String),
    /// The machine, or a process that is needed, did not do its part; trying again may help.
    System(String),
}

impl Failure {
    /// A failure that names what was being done.
    pub(crate) fn doing(what: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::System(format!("{what}: {error}"))
    }

    /// What the process ends with.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Operator(_) => ExitCode::from(EXIT_OPERATOR),
            Self::Away(_) => ExitCode::from(EXIT_AWAY),
            Self::System(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator(text) | Self::Away(text) | Self::System(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Failure {}
