//! Files of variables: `NAME=value` a line.

/// Names, in order, with what they are set to; a name alone has no value here.
pub type Variables = Vec<(String, Option<String>)>;

/// Reads them in order. A name alone has no value here, and gets that of the environment.
///
/// # Errors
/// With the number of the line that is wrong, and why.
pub(super) fn parse(text: &str) -> Result<Variables, (usize, String)> {
    let mut all = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(unquoted(value.trim()))),
            None => (line, None),
        };
        if !is_name(name) {
            return Err((at + 1, format!("{name:?} is not the name of a variable")));
        }
        all.push((name.to_owned(), value));
    }
    Ok(all)
}

/// Whether a variable can be called so.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !name.contains(char::is_whitespace)
}

/// Without quotes around it, or without a comment behind it.
fn unquoted(value: &str) -> String {
    for quote in ['\'', '"'] {
        let Some(rest) = value.strip_prefix(quote) else { continue };
        if let Some((inside, _)) = rest.split_once(quote) {
            return inside.to_owned();
        }
    }
    let end = value.find(" #").unwrap_or(value.len());
    value[..end].trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_names_and_values() {
        let text = "# words\nA=1\nexport B = two words # why\nC='a # b' \nD=\"x=y\"\nE=\n\nF\n";
        let read = parse(text).expect("good");
        let read: Vec<_> = read.iter().map(|(name, it)| (name.as_str(), it.as_deref())).collect();
        let wanted = [
            ("A", Some("1")),
            ("B", Some("two words")),
            ("C", Some("a # b")),
            ("D", Some("x=y")),
            ("E", Some("")),
            ("F", None),
        ];
        assert_eq!(read, wanted);
        assert_eq!(parse("A=1\n=2").expect_err("no name").0, 2);
    }
}
