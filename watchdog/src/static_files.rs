//! static mode: files from a folder, whatever the verb.
//!
//! Folders show their `index.html` or a listing; one range, `If-Modified-Since` and HEAD work. A
//! path cannot lead out of the folder: `..` is refused before any file is looked at.
//!
//! A file system may make us wait, so it is asked on a thread that may: once for an answer, the
//! first piece of the file included, because handing work to such a thread and back costs more than
//! the work. Only what is larger than a piece takes more turns; and none is taken for small files
//! that were just read and are still the same.

mod content;
mod kept;
mod range;

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue,
    IF_MODIFIED_SINCE, LAST_MODIFIED, LOCATION, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Response, StatusCode, Uri, request};

use self::content::{Content, PIECE};
use self::kept::Mark;
use crate::clock::civil;
use crate::environment::percent_decoded;
use crate::reply::Answer;

pub use self::kept::Kept;
pub use self::range::{Wanted, wanted};

/// What a request asks of the file system.
struct Question {
    /// Where the path leads: for a folder, to its index.
    target: PathBuf,
    uri: Uri,
    /// Headers alone are wanted.
    head: bool,
    known: Option<HeaderValue>,
    range: Option<HeaderValue>,
}

/// What the headers say of a file.
#[derive(Copy, Clone, Debug)]
pub struct Facts {
    length: u64,
    /// Seconds since 1970.
    modified: Option<u64>,
}

/// Answers a request from `root`.
pub async fn answer(root: &Path, kept: &Arc<Kept>, parts: &request::Parts) -> Response<Answer> {
    let path = parts.uri.path();
    let Some(relative) = relative_path(path) else {
        return text(StatusCode::BAD_REQUEST, "invalid path\n");
    };
    if path.ends_with("/index.html") {
        return redirect("./");
    }
    let mut target = root.join(relative);
    if path.ends_with('/') {
        target.push("index.html");
    }
    let question = Question {
        target,
        uri: parts.uri.clone(),
        head: parts.method == Method::HEAD,
        known: parts.headers.get(IF_MODIFIED_SINCE).cloned(),
        range: parts.headers.get(RANGE).cloned(),
    };
    if let Some(file) = kept.find(&question.target) {
        return question.again(&file);
    }
    let kept = Arc::clone(kept);
    let answered = tokio::task::spawn_blocking(move || question.answer(&kept)).await;
    // Only a watchdog that ends drops the question.
    answered.unwrap_or_else(|_| text(StatusCode::INTERNAL_SERVER_ERROR, "cannot read files\n"))
}

/// The path below the folder, or none when it tries to leave.
pub fn relative_path(path: &str) -> Option<PathBuf> {
    let decoded = String::from_utf8(percent_decoded(path)).ok()?;
    if decoded.contains('\0') {
        return None;
    }
    let mut relative = PathBuf::new();
    for part in decoded.split('/') {
        match part {
            "" | "." => {}
            ".." => return None,
            name => relative.push(name),
        }
    }
    Some(relative)
}

impl Question {
    fn is_for_folder(&self) -> bool {
        self.uri.path().ends_with('/')
    }

    /// Looks at files: may block.
    fn answer(&self, kept: &Kept) -> Response<Answer> {
        match content::open(&self.target) {
            Ok((content, found)) if found.is_file() => {
                self.file(&content, &found, kept).unwrap_or_else(|_| not_found())
            }
            // An index that may not be read hides the folder all the same.
            Err(_) if self.is_for_folder() && self.target.is_file() => not_found(),
            _ if self.is_for_folder() => {
                let folder = self.target.parent().unwrap_or(&self.target);
                listing(folder).unwrap_or_else(|_| not_found())
            }
            Ok((_, found)) if found.is_dir() => self.to_folder(),
            // A folder that may be entered, but not be read.
            Err(_) if self.target.is_dir() => self.to_folder(),
            _ => not_found(),
        }
    }

    fn to_folder(&self) -> Response<Answer> {
        let name = self.uri.path().rsplit('/').next().unwrap_or_default();
        redirect(&format!("./{name}/"))
    }

    fn file(
        &self,
        content: &Content,
        found: &Metadata,
        kept: &Kept,
    ) -> std::io::Result<Response<Answer>> {
        let modified = found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let facts = Facts { length: found.len(), modified: modified.map(|since| since.as_secs()) };
        let (mut response, start, count) = match self.begin(facts) {
            Begun::Ended(response) => return Ok(response),
            Begun::Part { response, start, count } => (response, start, count),
        };
        let whole = !self.head && count == facts.length && count <= PIECE;
        let before = if whole { Mark::of(content) } else { None };
        let body = content.part(start, if self.head { 0 } else { count })?;
        let kind = content.kind(&self.target, facts.length, start, &body)?;
        if let Some(mark) = before
            && let Some(all) = body.whole(facts.length)
            && Mark::of(content) == Some(mark)
        {
            kept.keep(&self.target, mark, kind, all, facts);
        }
        put(&mut response, CONTENT_TYPE, kind);
        *response.body_mut() = body.into();
        Ok(response)
    }

    fn again(&self, file: &kept::File) -> Response<Answer> {
        match self.begin(file.facts) {
            Begun::Ended(response) => response,
            Begun::Part { mut response, start, count } => {
                put(&mut response, CONTENT_TYPE, file.kind);
                if !self.head {
                    let part = file.part(start, count);
                    *response.body_mut() = Answer::Bytes(part);
                }
                response
            }
        }
    }

    /// What can be said before the content is looked at.
    fn begin(&self, facts: Facts) -> Begun {
        let stamp = facts.modified.map(http_date);
        let mut response = Response::new(Answer::EMPTY);
        put(&mut response, ACCEPT_RANGES, "bytes");
        if let Some(stamp) = &stamp {
            put(&mut response, LAST_MODIFIED, stamp);
        }
        // Comparing texts suffices: callers send back what they were given.
        let known = self.known.as_ref().and_then(|value| value.to_str().ok());
        if known.is_some() && known == stamp.as_deref() {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Begun::Ended(response);
        }
        let length = facts.length;
        let range = self.range.as_ref().and_then(|value| value.to_str().ok());
        let (start, count) = match range.map_or(Wanted::All, |text| wanted(text, length)) {
            Wanted::All => (0, length),
            Wanted::Part { start, count } => {
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let end = start + count - 1;
                put(&mut response, CONTENT_RANGE, &format!("bytes {start}-{end}/{length}"));
                (start, count)
            }
            Wanted::Nothing => {
                let mut response = text(StatusCode::RANGE_NOT_SATISFIABLE, "no such range\n");
                put(&mut response, CONTENT_RANGE, &format!("bytes */{length}"));
                return Begun::Ended(response);
            }
        };
        put(&mut response, CONTENT_LENGTH, &count.to_string());
        Begun::Part { response, start, count }
    }
}

/// An answer that has its headers, but for the content type.
enum Begun {
    /// Nothing of the content is wanted.
    Ended(Response<Answer>),
    /// This part of it is.
    Part { response: Response<Answer>, start: u64, count: u64 },
}

/// The names in a folder, as links.
fn listing(folder: &Path) -> std::io::Result<Response<Answer>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)?.map_while(Result::ok) {
        let slash = if entry.path().is_dir() { "/" } else { "" };
        names.push(format!("{}{slash}", entry.file_name().to_string_lossy()));
    }
    names.sort_unstable();
    let mut html = String::from("<!doctype html>\n<pre>\n");
    for name in names {
        html += &format!("<a href=\"./{}\">{}</a>\n", percent_encoded(&name), escaped(&name));
    }
    html += "</pre>\n";
    let mut response = Response::new(Answer::Bytes(html.into()));
    put(&mut response, CONTENT_TYPE, "text/html; charset=utf-8");
    Ok(response)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = seconds / 86_400;
    let (year, month, day) = civil(days);
    let weekday = DAYS[usize::try_from(days % 7).unwrap_or(0)];
    let month = MONTHS[usize::try_from(month - 1).unwrap_or(0)];
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

fn percent_encoded(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded += &format!("%{byte:02X}");
        }
    }
    encoded
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;")
}

fn not_found() -> Response<Answer> {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn text(status: StatusCode, words: &'static str) -> Response<Answer> {
    let mut response = Response::new(Answer::Bytes(words.into()));
    *response.status_mut() = status;
    put(&mut response, CONTENT_TYPE, "text/plain; charset=utf-8");
    put(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    response
}

fn redirect(to: &str) -> Response<Answer> {
    let mut response = Response::new(Answer::EMPTY);
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    put(&mut response, LOCATION, to);
    response
}

fn put(response: &mut Response<Answer>, name: HeaderName, value: &str) {
    // Values here are made of checked parts; one that is none is left out.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use rustix::fs::Mode;

    use super::*;

    #[test]
    fn dates_are_written_as_http_wants_them() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[tokio::test]
    async fn a_small_file_is_answered_in_one_turn_on_another_thread() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("index.html"), "hello").expect("a file");
        let (parts, ()) = http::Request::new(()).into_parts();
        let (polls, response) = polled(folder.path(), &Arc::default(), &parts).await;
        // Started, and ended.
        assert!(polls <= 2, "{polls} polls");
        assert!(matches!(response.body(), Answer::Bytes(bytes) if bytes == "hello"));
    }

    /// An answer, and how often it was looked after.
    async fn polled(
        root: &Path,
        kept: &Arc<Kept>,
        parts: &request::Parts,
    ) -> (u32, Response<Answer>) {
        let mut answering = Box::pin(answer(root, kept, parts));
        let mut polls = 0;
        let polling = std::future::poll_fn(|cx| {
            polls += 1;
            answering.as_mut().poll(cx)
        });
        let response = polling.await;
        (polls, response)
    }

    #[tokio::test]
    async fn what_was_just_read_is_answered_at_once_for_as_long_as_it_is_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let page = folder.path().join("page.txt");
        std::fs::write(&page, "hello").expect("a file");
        let kept = Arc::new(Kept::after_a_rest_of(Duration::ZERO));
        let request = |name, value| {
            let uri = "/page.txt";
            http::Request::get(uri).header(name, value).body(()).expect("good").into_parts().0
        };
        let plain = request("x-none", "");
        let first = polled(folder.path(), &kept, &plain).await.1;
        let (path, cached) = (rustix::fs::OFlags::PATH, rustix::fs::ResolveFlags::CACHED);
        if rustix::fs::openat2(rustix::fs::CWD, "/", path, Mode::empty(), cached).is_err() {
            // A kernel before 5.12, or one that may not be asked.
            return;
        }
        assert!(kept.find(&page).is_some());
        let date = first.headers()[LAST_MODIFIED].to_str().expect("text");
        for (name, value, status, body) in [
            ("x-none", "", 200, "hello"),
            ("range", "bytes=1-2", 206, "el"),
            ("range", "bytes=9-", 416, "no such range\n"),
            ("if-modified-since", date, 304, ""),
        ] {
            let (polls, response) = polled(folder.path(), &kept, &request(name, value)).await;
            assert_eq!((polls, response.status().as_u16()), (1, status), "{name}");
            assert!(matches!(response.body(), Answer::Bytes(bytes) if bytes == body), "{name}");
        }
        let again = polled(folder.path(), &kept, &plain).await.1;
        assert_eq!(again.headers(), first.headers());

        std::fs::write(&page, "changed").expect("a file");
        let changed = polled(folder.path(), &kept, &plain).await.1;
        assert!(matches!(changed.body(), Answer::Bytes(bytes) if bytes == "changed"));
        std::fs::remove_file(&page).expect("a file");
        assert_eq!(polled(folder.path(), &kept, &plain).await.1.status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn no_path_leads_out() {
        assert_eq!(relative_path("/a//./b%20c"), Some(PathBuf::from("a/b c")));
        for path in ["/../x", "/a/%2e%2e/x", "/%2e%2E", "/a%00b", "/..%2f..%2fetc/passwd"] {
            assert_eq!(relative_path(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            if let Some(path) = relative_path(&text) {
                prop_assert!(path.is_relative() && path.components().all(|part| part.as_os_str() != ".."));
            }
        }
    }
}
