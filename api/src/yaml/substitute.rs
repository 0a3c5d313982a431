//! `${VAR}` and its kin over a whole text, remembering where each byte came from.
//!
//! | Written | Becomes |
//! | --- | --- |
//! | `${VAR}` | the value, or nothing (with a warning) when it is not set |
//! | `${VAR:-text}`, `${VAR:=text}` | the value, or `text` when it is not set or empty |
//! | `${VAR-text}`, `${VAR=text}` | the value, or `text` when it is not set |
//! | `$${` | `${`, left alone |
//!
//! `text` may hold further variables. In stack files a `$` without a brace is left alone, since commands use
//! it; in compose files `$VAR` is `${VAR}`, and `$$` is how one `$` is written.

use super::LARGEST;

/// How deep defaults may nest.
const DEEPEST: usize = 16;

/// Whose rules hold.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Those of `stack.yml`.
    Stack,
    /// Those of compose files.
    Compose,
}

/// A text with its variables filled in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Substituted {
    pub(crate) text: String,
    pieces: Vec<Piece>,
}

/// From `at` on, until the next piece, the text is that of the original from `origin` on, or, if not
/// `verbatim`, the value of a variable named there.
#[derive(Copy, Clone, Debug)]
struct Piece {
    at: usize,
    origin: usize,
    verbatim: bool,
}

/// Something wrong or odd at `start..end` of the original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) fatal: bool,
    pub(crate) message: String,
    pub(crate) place: (usize, usize),
}

impl Substituted {
    /// The text as it is.
    pub(crate) fn verbatim(text: &str) -> Self {
        Self { text: text.to_owned(), pieces: Vec::new() }
    }

    /// Fills in the variables of `text`.
    pub(crate) fn new(
        text: &str,
        dialect: Dialect,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> (Self, Vec<Trouble>) {
        let (out, troubles) = (Self::default(), Vec::new());
        let mut writer = Writer { text, dialect, variable, out, troubles, full: false };
        writer.write(0, text.len(), 0);
        (writer.out, writer.troubles)
    }

    /// Where the byte at `at` came from.
    pub(crate) fn origin(&self, at: usize) -> usize {
        let next = self.pieces.partition_point(|piece| piece.at <= at);
        match next.checked_sub(1).and_then(|last| self.pieces.get(last)) {
            None => at,
            Some(piece) if piece.verbatim => piece.origin + (at - piece.at),
            Some(piece) => piece.origin,
        }
    }
}

struct Writer<'a> {
    text: &'a str,
    dialect: Dialect,
    variable: &'a dyn Fn(&str) -> Option<String>,
    out: Substituted,
    troubles: Vec<Trouble>,
    full: bool,
}

/// `${name operator text}` in the original.
struct Reference<'a> {
    name: &'a str,
    /// The default, as a range of the original, and whether it also stands in for an empty value.
    default: Option<(usize, usize, bool)>,
}

impl<'a> Writer<'a> {
    /// Writes `from..to` of the original.
    fn write(&mut self, from: usize, to: usize, depth: usize) {
        let mut at = from;
        while at < to && !self.full {
            let rest = &self.text[at..to];
            let sign = if self.dialect == Dialect::Compose { "$" } else { "${" };
            let Some(found) = rest.find(sign) else {
                self.verbatim(at, to);
                return;
            };
            let start = at + found;
            if !rest[found..].starts_with("${") {
                self.verbatim(at, start);
                at = self.bare(start, to);
                continue;
            }
            if self.text[at..start].ends_with('$') {
                // `$${` keeps one `$` and the brace.
                self.verbatim(at, start - 1);
                self.verbatim(start, start + 2);
                at = start + 2;
                continue;
            }
            self.verbatim(at, start);
            at = self.reference(start, to, depth);
        }
    }

    /// Writes what a `$` without a brace stands for in a compose file; returns where the text goes on.
    fn bare(&mut self, start: usize, to: usize) -> usize {
        let rest: &'a str = &self.text[start + 1..to];
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = rest.find(|c| !word(c)).unwrap_or(rest.len());
        let end = start + 1 + length;
        if length == 0 || rest.starts_with(|c: char| c.is_ascii_digit()) {
            self.verbatim(start, start + 1);
            return start + 1 + usize::from(rest.starts_with('$'));
        }
        match (self.variable)(&rest[..length]) {
            Some(value) => self.value(&value, start),
            None => self.missing(&rest[..length], (start, end)),
        }
        end
    }

    fn missing(&mut self, name: &str, place: (usize, usize)) {
        if self.in_comment(place.0) {
            return;
        }
        let message = format!(
            "variable {name} is not set, so nothing is put here; set it or write ${{{name}:-default}}"
        );
        self.troubles.push(Trouble { fatal: false, message, place });
    }

    /// Writes what the reference at `start` stands for; returns where the text goes on.
    fn reference(&mut self, start: usize, to: usize, depth: usize) -> usize {
        let Some(end) = closing(&self.text[start + 2..to]).map(|length| start + 2 + length) else {
            return self.left_alone(start, start + 2, "${ has no closing brace");
        };
        let Some(reference) = self.parse(start + 2, end) else {
            let allowed = "use ${NAME} or ${NAME:-default}, or $${ for the characters themselves";
            return self.left_alone(start, end + 1, allowed);
        };
        if depth >= DEEPEST {
            return self.left_alone(start, end + 1, "variables are nested too deep");
        }
        let value = (self.variable)(reference.name);
        match (value, reference.default) {
            (Some(value), None) => self.value(&value, start),
            (Some(value), Some((_, _, or_empty))) if !(or_empty && value.is_empty()) => {
                self.value(&value, start);
            }
            (_, Some((from, to, _))) => self.write(from, to, depth + 1),
            (None, None) => self.missing(reference.name, (start, end + 1)),
        }
        end + 1
    }

    fn parse(&self, from: usize, to: usize) -> Option<Reference<'a>> {
        let inner: &'a str = &self.text[from..to];
        let length =
            inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inner.len());
        let (name, rest) = inner.split_at(length);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let operators = [(":-", true), (":=", true), ("-", false), ("=", false)];
        let default = operators.iter().find_map(|(operator, or_empty)| {
            rest.strip_prefix(operator).map(|text| (to - text.len(), to, *or_empty))
        });
        (rest.is_empty() || default.is_some()).then_some(Reference { name, default })
    }

    fn left_alone(&mut self, start: usize, end: usize, message: &str) -> usize {
        if !self.in_comment(start) {
            let message = message.to_owned();
            self.troubles.push(Trouble { fatal: true, message, place: (start, end) });
        }
        self.verbatim(start, end);
        end
    }

    /// Whether the line is all comment.
    fn in_comment(&self, at: usize) -> bool {
        let line = self.text[..at].rfind('\n').map_or(0, |end| end + 1);
        self.text[line..at].trim_start().starts_with('#')
    }

    fn verbatim(&mut self, from: usize, to: usize) {
        let text = self.text;
        self.piece(&text[from..to], from, true);
    }

    fn value(&mut self, value: &str, origin: usize) {
        self.piece(value, origin, false);
    }

    fn piece(&mut self, text: &str, origin: usize, verbatim: bool) {
        if self.out.text.len() + text.len() > 2 * LARGEST {
            if !self.full {
                let message = "the file is too large with its variables filled in".to_owned();
                self.troubles.push(Trouble { fatal: true, message, place: (origin, origin) });
            }
            self.full = true;
            return;
        }
        if !text.is_empty() {
            self.out.pieces.push(Piece { at: self.out.text.len(), origin, verbatim });
            self.out.text.push_str(text);
        }
    }
}

/// How far it is to the brace that closes a reference whose `${` has been read.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut bytes = text.bytes().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'$' if bytes.peek().is_some_and(|(_, next)| *next == b'{') => {
                bytes.next();
                depth += 1;
            }
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            b'\n' => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> String {
        let variable = |name: &str| (name == "A").then(|| "$$x".to_owned());
        Substituted::new(text, Dialect::Compose, &variable).0.text
    }

    #[test]
    fn compose_files_have_rules_of_their_own_for_a_bare_sign() {
        assert_eq!(filled("$A ${A} $Ab ${B:-$A}"), "$$x $$x  $$x");
        assert_eq!(filled("$$A $${A} $$$A cost 5$ $1"), "$A ${A} $$$x cost 5$ $1");
    }
}
