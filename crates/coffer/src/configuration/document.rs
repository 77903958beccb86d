//! TOML to settings, with refusals that say where and what instead.

use serde::de::DeserializeOwned;

/// As many letters may be wrong, missing or swapped in a name that is recognised all the same.
const MISTAKES_MAX: usize = 3;

/// Reads the text of the file `shown`.
pub(super) fn parse<T: DeserializeOwned>(shown: &str, text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        format!("{shown}, line {line}: {}", explain(error.message()))
    })
}

/// A parser's message, with a suggestion when it is about a name that nearly exists.
pub(super) fn explain(message: &str) -> String {
    // serde's form: unknown field `x`, expected one of `a`, `b`. Names alternate with what is between them.
    let mut names = message.split('`').skip(1).step_by(2);
    let Some(unknown) = names.next().filter(|_| message.starts_with("unknown")) else {
        return message.to_owned();
    };
    let near = names
        .map(|known| (strsim::damerau_levenshtein(unknown, known), known))
        .min()
        .filter(|(mistakes, _)| *mistakes <= MISTAKES_MAX);
    match near {
        Some((_, known)) => format!("unknown name `{unknown}`; did you mean `{known}`?"),
        None => message.to_owned(),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.split(|&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suggestion_is_only_made_for_what_is_near() {
        assert_eq!(
            explain("unknown field `feilds`, expected one of `api`, `fields`"),
            "unknown name `feilds`; did you mean `fields`?"
        );
        let far = "unknown field `something`, expected one of `api`, `fields`";
        assert_eq!(explain(far), far);
    }
}
