//! Whom to call: the URL of the command line, a file of targets, or the functions of a recording.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};

use super::{bad, read_text};
use crate::args::{BadArgs, Flags};
use crate::plan::{Check, Due, Target};
use crate::targets::{self, Common};
use crate::trace;

/// hey's content type, sent even without a body.
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("text/html");

/// All targets; none when a recording is to name them.
pub(super) fn targets(flags: &Flags) -> Result<Vec<Target>, BadArgs> {
    let common = common(flags)?;
    if let Some(path) = &flags.targets {
        if let Some(url) = &flags.url {
            return Err(bad(format!("--targets names whom to call; leave out {url}")));
        }
        let text = read_text("--targets", path)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let read = targets::read(&text, folder, &common);
        return read.map_err(|error| bad(format!("--targets: {}: {error}", path.display())));
    }
    let Some(url) = &flags.url else {
        if flags.replay.is_some() && flags.gateway.is_some() {
            return Ok(Vec::new());
        }
        return Err(bad("nobody to call: give a URL or --targets FILE"));
    };
    let uri = targets::uri(url).map_err(bad)?;
    if flags.replay.is_some() && uri.path() == "/" {
        return Ok(Vec::new());
    }
    Ok(vec![target(url.clone(), uri, common)])
}

fn target(name: String, uri: http::Uri, common: Common) -> Target {
    let Common { method, headers, body, .. } = common;
    Target { name, weight: 1, method, uri, headers, body, check: Check::default() }
}

/// What the flags say of every call.
fn common(flags: &Flags) -> Result<Common, BadArgs> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, flags.content_type.clone().unwrap_or(CONTENT_TYPE));
    let mut given = BTreeSet::new();
    for (name, value) in &flags.headers {
        // The first of a name replaces a default, the next ones stand beside it.
        match given.insert(name.as_str()) {
            true => drop(headers.insert(name.clone(), value.clone())),
            false => drop(headers.append(name.clone(), value.clone())),
        }
    }
    let more = [(header::ACCEPT, flags.accept.clone()), (header::HOST, flags.host.clone())];
    for (name, value) in more {
        value.map(|value| headers.insert(name, value));
    }
    if let Some(login) = &flags.auth {
        headers.insert(header::AUTHORIZATION, login.header());
    }
    let body = match (&flags.body, &flags.body_file) {
        (Some(text), _) => Bytes::from(text.clone()),
        (None, Some(path)) => targets::body_from(path).map_err(|why| bad(format!("-D: {why}")))?,
        (None, None) => Bytes::new(),
    };
    let method = flags.method.clone().unwrap_or(Method::GET);
    Ok(Common { method, headers, body, gateway: flags.gateway.clone() })
}

/// The calls of a recording. Without targets it calls each of its functions at the URL or the gateway.
pub(super) fn recording(
    flags: &Flags,
    path: &Path,
    targets: Vec<Target>,
) -> Result<(Arc<[Due]>, Vec<Target>), BadArgs> {
    let file = path.display().to_string();
    let open = || {
        File::open(path)
            .map(BufReader::new)
            .map_err(|error| bad(format!("--replay: cannot read {file}: {error}")))
    };
    let wrong = |error: &dyn std::fmt::Display| bad(format!("--replay: {error}"));
    let targets = if targets.is_empty() {
        let base = flags.url.as_deref().or(flags.gateway.as_deref()).unwrap_or_default();
        let mut names = BTreeSet::new();
        for row in trace::rows(open()?, &file).map_err(|error| wrong(&error))? {
            names.insert(row.map_err(|error| wrong(&error))?.1.function);
        }
        let common = common(flags)?;
        let named = names.into_iter().map(|name| {
            let uri = targets::function_uri(base, &name)
                .map_err(|why| bad(format!("--replay: {why}")))?;
            Ok(target(name, uri, common.clone()))
        });
        named.collect::<Result<Vec<_>, BadArgs>>()?
    } else {
        named_by_function(targets)
    };
    let recording = trace::read_trace(open()?, &file, &targets).map_err(|error| wrong(&error))?;
    Ok((recording.into(), targets))
}

/// A recording speaks of functions: a target called by its URL goes by the function in it.
fn named_by_function(mut targets: Vec<Target>) -> Vec<Target> {
    for target in &mut targets {
        let by_url = target.name.contains("://");
        if let Some(function) = super::function_of(&target.uri).filter(|_| by_url) {
            function.name().clone_into(&mut target.name);
        }
    }
    targets
}
