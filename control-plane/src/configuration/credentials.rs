//! What is said to servers that want a name and a password (RFC 7617). A password in a file is read when it is
//! needed, so that it can be changed while the control plane runs.

use std::io;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use portreeve_config::BasicCredentials;

/// The value of `Authorization`.
///
/// # Errors
/// Where the file with the password cannot be read; the fault names it.
pub(super) fn authorization(credentials: &BasicCredentials) -> io::Result<String> {
    let password = match (&credentials.password, &credentials.password_file) {
        (Some(password), _) => password.reveal().to_owned(),
        (None, Some(file)) => {
            let named =
                |fault: io::Error| io::Error::new(fault.kind(), format!("{}: {fault}", file.display()));
            let text = std::fs::read_to_string(file).map_err(named)?;
            text.lines().next().unwrap_or_default().trim_end().to_owned()
        }
        (None, None) => String::new(),
    };
    Ok(format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{password}", credentials.username))))
}
