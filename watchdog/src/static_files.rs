//! static mode: files from a folder, whatever the verb.
//!
//! Folders show their `index.html` or a listing; one range, `If-Modified-Since` and HEAD work. A
//! path cannot lead out of the folder: `..` is refused before any file is looked at.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use bytes::BytesMut;
use futures_util::stream;
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue,
    IF_MODIFIED_SINCE, LAST_MODIFIED, LOCATION, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode, request};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::clock::civil;
use crate::content_type;
use crate::environment::percent_decoded;
use crate::reply::{Answer, Cut};

/// Bytes read from a file at once.
const PIECE: u64 = 64 * 1024;

/// Answers a request from `root`.
pub async fn answer(root: &Path, parts: &request::Parts) -> Response<Answer> {
    let path = parts.uri.path();
    let Some(relative) = relative_path(path) else {
        return text(StatusCode::BAD_REQUEST, "invalid path\n");
    };
    if path.ends_with("/index.html") {
        return redirect("./");
    }
    let target = root.join(relative);
    match tokio::fs::metadata(&target).await {
        Ok(found) if found.is_dir() && !path.ends_with('/') => {
            let name = path.rsplit('/').next().unwrap_or_default();
            redirect(&format!("./{name}/"))
        }
        Ok(found) if found.is_dir() => folder(&target, parts).await,
        Ok(_) if path.ends_with('/') => not_found(),
        Ok(_) => file(&target, parts).await,
        Err(_) => not_found(),
    }
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

async fn folder(target: &Path, parts: &request::Parts) -> Response<Answer> {
    let index = target.join("index.html");
    if tokio::fs::metadata(&index).await.is_ok_and(|found| found.is_file()) {
        return file(&index, parts).await;
    }
    let mut names = Vec::new();
    let Ok(mut entries) = tokio::fs::read_dir(target).await else { return not_found() };
    while let Ok(Some(entry)) = entries.next_entry().await {
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
    response
}

async fn file(target: &Path, parts: &request::Parts) -> Response<Answer> {
    let Ok(mut file) = File::open(target).await else { return not_found() };
    let Ok(found) = file.metadata().await else { return not_found() };
    let modified = found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let stamp = modified.map(|since| http_date(since.as_secs()));
    let mut response = Response::new(Answer::EMPTY);
    put(&mut response, ACCEPT_RANGES, "bytes");
    if let Some(stamp) = &stamp {
        put(&mut response, LAST_MODIFIED, stamp);
    }
    // Comparing texts suffices: callers send back what they were given.
    let known = parts.headers.get(IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
    if known.is_some() && known == stamp.as_deref() {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    let Ok(kind) = kind_of(target, &mut file).await else { return not_found() };
    put(&mut response, CONTENT_TYPE, kind);
    let length = found.len();
    let range = parts.headers.get(RANGE).and_then(|value| value.to_str().ok());
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
            return response;
        }
    };
    put(&mut response, CONTENT_LENGTH, &count.to_string());
    if count > 0 {
        if file.seek(SeekFrom::Start(start)).await.is_err() {
            return not_found();
        }
        *response.body_mut() = pieces(file, count);
    }
    response
}

async fn kind_of(target: &Path, file: &mut File) -> std::io::Result<&'static str> {
    if let Some(kind) = target.file_name().and_then(|name| content_type::by_name(name.to_str()?)) {
        return Ok(kind);
    }
    let mut head = BytesMut::with_capacity(512);
    while head.len() < 512 && file.read_buf(&mut head).await? > 0 {}
    Ok(content_type::sniffed(&head))
}

fn pieces(file: File, count: u64) -> Answer {
    Answer::Pieces(Box::pin(stream::try_unfold((file, count), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let most = usize::try_from(left.min(PIECE)).unwrap_or(0);
        let mut piece = BytesMut::with_capacity(most);
        let read = (&mut file).take(most as u64).read_buf(&mut piece).await?;
        if read == 0 {
            // It was cut short while it was read: the announced length cannot be kept.
            return Err(Cut::File(std::io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(Some((piece.freeze(), (file, left - read as u64))))
    })))
}

/// What a `Range` header asks for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The whole, or more ranges than one, which need not be honoured.
    All,
    /// A part that is there.
    Part {
        /// First byte.
        start: u64,
        /// Bytes; at least one.
        count: u64,
    },
    /// A part beyond the end.
    Nothing,
}

/// Reads a `Range` header for a file of `length` bytes.
pub fn wanted(text: &str, length: u64) -> Wanted {
    let Some(range) = text.strip_prefix("bytes=") else { return Wanted::All };
    let Some((first, last)) = range.split_once('-') else { return Wanted::All };
    let (first, last) = (first.trim(), last.trim());
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok());
    let (start, end) = match (first, last) {
        ("", "") => return Wanted::All,
        ("", count) => match number(count).flatten() {
            Some(0) => return Wanted::Nothing,
            Some(count) => (length.saturating_sub(count), length),
            None => return Wanted::All,
        },
        (first, last) => {
            let Some(start) = number(first).flatten() else { return Wanted::All };
            let end = match last {
                "" => length,
                last => match number(last).flatten() {
                    Some(last) if last >= start => length.min(u64::saturating_add(last, 1)),
                    _ => return Wanted::All,
                },
            };
            (start, end)
        }
    };
    if start >= end {
        return Wanted::Nothing;
    }
    Wanted::Part { start, count: end - start }
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_written_as_http_wants_them() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn no_path_leads_out() {
        assert_eq!(relative_path("/a//./b%20c"), Some(PathBuf::from("a/b c")));
        for path in ["/../x", "/a/%2e%2e/x", "/%2e%2E", "/a%00b", "/..%2f..%2fetc/passwd"] {
            assert_eq!(relative_path(path), None, "{path}");
        }
    }

    #[test]
    fn ranges_are_read_as_http_has_them() {
        let part = |start, count| Wanted::Part { start, count };
        for (text, expected) in [
            ("bytes=0-3", part(0, 4)),
            ("bytes=8-", part(8, 2)),
            ("bytes=-3", part(7, 3)),
            ("bytes=-30", part(0, 10)),
            ("bytes=5-100", part(5, 5)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=3-1", Wanted::All),
            ("bytes=0-1,3-4", Wanted::All),
            ("lines=1-2", Wanted::All),
        ] {
            assert_eq!(wanted(text, 10), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_file(text in "bytes=[0-9]{0,22}-[0-9]{0,22}", length in any::<u64>()) {
            if let Wanted::Part { start, count } = wanted(&text, length) {
                prop_assert!(count > 0 && start.checked_add(count).is_some_and(|end| end <= length));
            }
        }

        #[test]
        fn no_text_panics(text in any::<String>(), length in any::<u64>()) {
            let _ = wanted(&text, length);
            let _ = wanted(&format!("bytes={text}"), length);
            if let Some(path) = relative_path(&text) {
                prop_assert!(path.is_relative() && path.components().all(|part| part.as_os_str() != ".."));
            }
        }
    }
}
