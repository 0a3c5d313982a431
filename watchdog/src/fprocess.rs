//! From the text of `fprocess` to a program and its arguments.
//!
//! The text is split on runs of spaces and quotes are kept as they are, since values in use today
//! contain them literally. `fprocess_split=shell` asks for quotes and backslashes as in a shell.

use thiserror::Error;

/// How the text of `fprocess` becomes arguments.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Split {
    /// On runs of spaces; quotes mean nothing.
    Spaces,
    /// On runs of white space outside of quotes; `'…'`, `"…"` and `\` as in a shell.
    Shell,
}

/// A program with its arguments; there is always a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fprocess {
    /// A path, or a name to be found in `PATH`.
    pub program: String,
    /// What the program is given.
    pub arguments: Vec<String>,
}

/// Why a text is no command line.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
pub enum BadFprocess {
    /// There is no word in it.
    #[error("names no program")]
    Empty,
    /// A quote is never closed, or a backslash ends the text.
    #[error("has a quote that is not closed")]
    Unclosed,
    /// No argument can contain a NUL.
    #[error("contains a NUL")]
    Nul,
}

impl Fprocess {
    /// Splits `text`.
    pub fn parse(text: &str, split: Split) -> Result<Self, BadFprocess> {
        if text.contains('\0') {
            return Err(BadFprocess::Nul);
        }
        let mut words = match split {
            Split::Spaces => {
                text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
            }
            Split::Shell => shell_words(text)?,
        }
        .into_iter();
        let program = words.next().filter(|word| !word.is_empty()).ok_or(BadFprocess::Empty)?;
        Ok(Self { program, arguments: words.collect() })
    }
}

fn shell_words(text: &str) -> Result<Vec<String>, BadFprocess> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => quoted(&mut letters, '\'', word.get_or_insert_default())?,
            '"' => quoted(&mut letters, '"', word.get_or_insert_default())?,
            '\\' => {
                word.get_or_insert_default().push(letters.next().ok_or(BadFprocess::Unclosed)?);
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(
    letters: &mut std::str::Chars<'_>,
    quote: char,
    word: &mut String,
) -> Result<(), BadFprocess> {
    loop {
        match letters.next().ok_or(BadFprocess::Unclosed)? {
            letter if letter == quote => return Ok(()),
            '\\' if quote == '"' => {
                let next = letters.next().ok_or(BadFprocess::Unclosed)?;
                if !matches!(next, '"' | '\\' | '$' | '`') {
                    word.push('\\');
                }
                word.push(next);
            }
            letter => word.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str, split: Split) -> Result<Vec<String>, BadFprocess> {
        Fprocess::parse(text, split)
            .map(|found| std::iter::once(found.program).chain(found.arguments).collect())
    }

    #[test]
    fn runs_of_spaces_split_and_quotes_stay() {
        assert_eq!(
            words("  sh  -c \"echo hi\" ", Split::Spaces),
            Ok(vec!["sh".into(), "-c".into(), "\"echo".into(), "hi\"".into()])
        );
        assert_eq!(words("   ", Split::Spaces), Err(BadFprocess::Empty));
    }

    #[test]
    fn the_shell_split_honours_quotes() {
        assert_eq!(
            words(r#"sh -c "echo \"a b\" 'c'" '' d\ e"#, Split::Shell),
            Ok(vec![
                "sh".into(),
                "-c".into(),
                "echo \"a b\" 'c'".into(),
                String::new(),
                "d e".into()
            ])
        );
        assert_eq!(words("sh 'x", Split::Shell), Err(BadFprocess::Unclosed));
    }

    proptest! {
        #[test]
        fn quoted_words_read_back(expected in prop::collection::vec("[^\0]{1,12}", 1..6)) {
            let text: Vec<_> =
                expected.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
            prop_assert_eq!(words(&text.join(" "), Split::Shell), Ok(expected));
        }

        #[test]
        fn plain_words_read_back_however_far_apart(
            expected in prop::collection::vec("[^\0 ]{1,12}", 1..6), gap in 1_usize..4,
        ) {
            prop_assert_eq!(words(&expected.join(&" ".repeat(gap)), Split::Spaces), Ok(expected));
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = words(&text, Split::Spaces);
            let _ = words(&text, Split::Shell);
        }
    }
}
