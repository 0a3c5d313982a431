//! The admin password: made at the first start, kept 0600 in the state directory, shown once.

use std::fs;
use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::durable;

/// The password, and whether it was made just now.
#[derive(Clone, PartialEq, Eq)]
pub struct Password {
    /// Its text.
    pub text: String,
    /// Whether nobody has seen it yet.
    pub new: bool,
}

/// Where the password is kept below the state directory.
pub const FILE: &str = "password";

/// Reads the password at `path`, white space around it trimmed; makes one when there is none.
///
/// # Errors
/// When the file cannot be read or written, or is empty.
pub fn read_or_make(path: &Path) -> io::Result<Password> {
    match fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "the file holds no password"))
        }
        Ok(text) => Ok(Password { text: text.trim().to_owned(), new: false }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = make()?;
            durable::write(path, text.as_bytes())?;
            Ok(Password { text, new: true })
        }
        Err(error) => Err(error),
    }
}

/// 144 bits from the kernel, 24 characters that need no quoting in a shell or URL.
fn make() -> io::Result<String> {
    let mut bytes = [0_u8; 18];
    let mut filled = 0;
    while filled < bytes.len() {
        filled +=
            rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_password_is_made_once_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE);
        let first = read_or_make(&path).expect("made");
        let second = read_or_make(&path).expect("read");
        assert!(first.new && !second.new);
        assert_eq!((first.text.len(), &first.text), (24, &second.text));
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn an_empty_password_file_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE);
        fs::write(&path, " \n").expect("written");
        assert!(read_or_make(&path).is_err());
    }
}
