//! Why an image could not be pulled, in words for whoever named it.

use oci_client::errors::OciDistributionError;
use thiserror::Error;
use tidegate_provider::ProviderError;

use crate::error::{BACKEND, Failure};

/// Why an image could not be pulled.
#[derive(Debug, Error)]
pub enum PullError {
    /// It may not be asked for.
    #[error(
        "image {image} is not on this machine, and its pull policy is Never; bring it here with `tidegate image import FILE.tar` or `tidegate image pull {image}`"
    )]
    Forbidden {
        /// The image's full name.
        image: String,
    },
    /// The registry does not have it.
    #[error("there is no image {image} at registry {host}; is its name right, and was it pushed?")]
    Missing {
        /// The image's full name.
        image: String,
        /// Who was asked.
        host: String,
    },
    /// The registry does not give it to us.
    #[error("registry {host} does not give image {image} to {}{}", whom(.who.as_deref()), in_brackets(.said))]
    Refused {
        /// The image's full name.
        image: String,
        /// Who was asked.
        host: String,
        /// The login that was used, and where it comes from; never its password.
        who: Option<String>,
        /// What the registry said.
        said: String,
    },
    /// The registry cannot be reached, or not do what it is there for.
    #[error("registry {host} cannot be used now, tried {tries} times: {why}")]
    Away {
        /// Who was asked.
        host: String,
        /// What happened.
        why: String,
        /// How often it was asked.
        tries: u32,
    },
    /// What the registry sends is not what it should be.
    #[error("registry {host} sends a damaged {what}: {why}")]
    Damaged {
        /// Who was asked.
        host: String,
        /// Which part of the image.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no room for it.
    #[error(
        "the disk of containerd is full: {why}; remove images that are not needed (`ctr -n NAMESPACE images rm`), or make room"
    )]
    DiskFull {
        /// What containerd said.
        why: String,
    },
    /// It takes too long.
    #[error(
        "image {image} is not here after {minutes} min; what has come is kept for a while, so trying again goes on from there"
    )]
    TooSlow {
        /// The image's full name.
        image: String,
        /// How long was waited.
        minutes: u64,
    },
}

fn whom(who: Option<&str>) -> String {
    match who {
        Some(who) => who.to_owned(),
        None => "somebody without a login, or does not have it (`docker login` writes logins to a config.json)".to_owned(),
    }
}

fn in_brackets(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(" ({said})") }
}

impl From<PullError> for ProviderError {
    fn from(error: PullError) -> Self {
        match error {
            PullError::Forbidden { .. } | PullError::Missing { .. } | PullError::Refused { .. } => {
                Self::Invalid(error.to_string())
            }
            _ => Self::Failed {
                backend: BACKEND,
                action: "pull an image".to_owned(),
                source: Box::new(error),
            },
        }
    }
}

/// Whether the same may work a little later.
pub(crate) fn may_pass(failure: &Failure) -> bool {
    matches!(failure, Failure::Pull(PullError::Away { .. } | PullError::Damaged { .. }))
}

/// Says a full disk as what it is.
pub(crate) fn said_plainly(failure: Failure) -> Failure {
    match &failure {
        Failure::Refused { status, .. } if status.message().contains("no space left on device") => {
            Failure::Pull(PullError::DiskFull { why: status.message().to_owned() })
        }
        _ => failure,
    }
}

/// Whom an error is about.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Subject<'a> {
    /// The image's full name.
    pub(crate) image: &'a str,
    /// Who was asked.
    pub(crate) host: &'a str,
    /// As whom.
    pub(crate) who: Option<&'a str>,
}

impl Subject<'_> {
    pub(crate) fn away(&self, why: impl Into<String>) -> Failure {
        let mut why = why.into();
        // What TLS says when it is answered without TLS.
        if why.contains("InvalidContentType") || why.contains("corrupt message") {
            why += " (a registry that speaks plain HTTP must be named as such in the settings)";
        }
        Failure::Pull(PullError::Away { host: self.host.to_owned(), why, tries: 1 })
    }

    pub(crate) fn refused(&self, said: &str) -> Failure {
        Failure::Pull(PullError::Refused {
            image: self.image.to_owned(),
            host: self.host.to_owned(),
            who: self.who.map(str::to_owned),
            said: short(said),
        })
    }

    pub(crate) fn missing(&self) -> Failure {
        let (image, host) = (self.image.to_owned(), self.host.to_owned());
        Failure::Pull(PullError::Missing { image, host })
    }

    pub(crate) fn damaged(&self, what: &str, why: impl Into<String>) -> Failure {
        let (host, what) = (self.host.to_owned(), what.to_owned());
        Failure::Pull(PullError::Damaged { host, what, why: why.into() })
    }

    /// What a status other than success means; `body` is what came with it.
    pub(crate) fn status(&self, what: &str, code: u16, body: &[u8]) -> Failure {
        let said = message(body);
        match code {
            401 | 403 => self.refused(&said),
            404 => self.missing(),
            408 | 429 | 500.. => self.away(format!("it answers {code}{}", in_brackets(&said))),
            _ => self.damaged(what, format!("it answers {code}{}", in_brackets(&said))),
        }
    }

    /// What the registry client's error means when it asked for `what`.
    pub(crate) fn client(&self, what: &str, error: OciDistributionError) -> Failure {
        use oci_client::errors::OciErrorCode as Code;
        match error {
            OciDistributionError::RequestError(error) => self.away(chain(&error.without_url())),
            OciDistributionError::IoError(error) => self.away(io_chain(error)),
            OciDistributionError::AuthenticationFailure(said) => {
                self.refused(&message(said.as_bytes()))
            }
            OciDistributionError::UnauthorizedError { .. } => self.refused(""),
            OciDistributionError::ServerError { code, message, .. } => {
                self.status(what, code, message.as_bytes())
            }
            OciDistributionError::RegistryError { envelope, .. } => {
                let said = envelope.errors.iter().map(|it| it.message.as_str());
                let said = said.collect::<Vec<_>>().join("; ");
                match envelope.errors.first().map(|it| &it.code) {
                    Some(Code::Unauthorized | Code::Denied) => self.refused(&said),
                    Some(Code::Toomanyrequests) => self.away(said),
                    Some(Code::BlobUnknown | Code::NotFound) => {
                        self.damaged(what, "the registry does not have it any more")
                    }
                    _ => self.damaged(what, said),
                }
            }
            other => self.damaged(what, other.to_string()),
        }
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        let said = one.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = one.source();
    }
    text
}

/// The same for what a stream of bytes says, without addresses: those may hold signatures.
pub(crate) fn io_chain(error: std::io::Error) -> String {
    match error.downcast::<reqwest::Error>() {
        Ok(error) => chain(&error.without_url()),
        Err(error) => chain(&error),
    }
}

/// What a registry says in the body of an error.
fn message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Body {
        Errors { errors: Vec<One> },
        Details { details: String },
    }
    #[derive(serde::Deserialize)]
    struct One {
        #[serde(default)]
        message: String,
    }
    match serde_json::from_slice(body) {
        Ok(Body::Errors { errors }) => {
            let said: Vec<String> = errors.into_iter().map(|one| one.message).collect();
            short(&said.join("; "))
        }
        Ok(Body::Details { details }) => short(&details),
        // Pages for browsers say nothing.
        Err(_) if body.first() == Some(&b'<') => String::new(),
        Err(_) => short(&String::from_utf8_lossy(body)),
    }
}

/// A line of at most 200 characters.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let printable = |it: &char| !it.is_control();
    line.chars().filter(printable).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: Subject<'static> = Subject { image: "h/a:1", host: "h", who: None };

    #[test]
    fn statuses_are_sorted_by_what_the_user_does_next() {
        let text = |code, body: &str| SUBJECT.status("manifest", code, body.as_bytes()).to_string();
        assert!(text(404, "").starts_with("there is no image h/a:1 at registry h"));
        assert!(text(401, "").contains("without a login"));
        let denied = r#"{"errors":[{"code":"DENIED","message":"not\n  for you"}]}"#;
        assert!(text(403, denied).ends_with("(not for you)"), "{}", text(403, denied));
        assert!(text(503, "<html>").contains("cannot be used now, tried 1 times: it answers 503"));
        assert!(text(400, "no").contains("damaged manifest: it answers 400 (no)"));
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for (code, passes) in [(429, true), (500, true), (404, false), (401, false)] {
            assert_eq!(may_pass(&SUBJECT.status("manifest", code, b"")), passes, "{code}");
        }
    }

    #[test]
    fn long_answers_are_cut() {
        assert_eq!(message("x".repeat(5000).as_bytes()).len(), 200);
    }
}
