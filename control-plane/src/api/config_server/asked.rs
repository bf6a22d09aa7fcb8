//! What a path of the config server's protocol asks for. Every trick with paths ends here: what is let through is
//! plain text, and even that only ever names keys of maps.

use percent_encoding::percent_decode_str;

use crate::configuration::is_profile;

/// A form that a whole configuration can be had in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Properties,
    Yaml,
    Json,
}

/// What is asked for.
#[derive(Debug, PartialEq)]
pub(super) enum Asked {
    Environment { name: String, profiles: String, label: Option<String> },
    File { form: Form, name: String, profiles: String, label: Option<String> },
    Text { name: String, profiles: String, label: Option<String>, path: String },
    Encrypt,
    Decrypt,
    EncryptStatus,
    Key,
    Monitor,
    Health,
}

/// Why a path asks for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PathFault {
    #[error("there is nothing at this path")]
    Unknown,
    #[error("the application's name is not valid")]
    Name,
    #[error("a profile begins and ends with a letter or digit and holds only those and `-_.+@`")]
    Profile,
    #[error("the label is not valid")]
    Label,
    #[error("the path is not valid")]
    Path,
}

/// Extensions that tell a file from a profile.
const EXTENSIONS: [(&str, Form); 4] =
    [("yml", Form::Yaml), ("yaml", Form::Yaml), ("properties", Form::Properties), ("json", Form::Json)];

/// The longest list of names, profiles or labels, in bytes.
const LONGEST: usize = 1024;

/// Reads a path as it came, still encoded and without any prefix. `is_write` is true for POST; `default_label`
/// where the query says `useDefaultLabel`.
pub(super) fn asked(path: &str, is_write: bool, default_label: bool) -> Result<Asked, PathFault> {
    let segments = path.strip_prefix('/').ok_or(PathFault::Unknown)?.split('/');
    let segments = segments.map(decoded).collect::<Result<Vec<String>, PathFault>>()?;
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    if words.contains(&"") {
        return Err(PathFault::Unknown);
    }
    if let Some(asked) = endpoint(&words, is_write)? {
        return Ok(asked);
    }
    match words[..] {
        [file] => form_file(file, None),
        [label, file] if has_extension(file) => form_file(file, Some(label)),
        [name, profiles] => environment(name, profiles, None),
        [name, profiles, path] if default_label => text(name, profiles, None, path),
        [name, profiles, label] => environment(name, profiles, Some(label)),
        [name, profiles, label, ref path @ ..] if !path.is_empty() => {
            text(name, profiles, Some(label), &path.join("/"))
        }
        _ => Err(PathFault::Unknown),
    }
}

/// The endpoints with names of their own.
fn endpoint(words: &[&str], is_write: bool) -> Result<Option<Asked>, PathFault> {
    let asked = match (words, is_write) {
        (["actuator", "health"], false) => Asked::Health,
        (["actuator", ..], _) => return Err(PathFault::Unknown),
        (["monitor"], true) => Asked::Monitor,
        (["encrypt", "status"], false) => Asked::EncryptStatus,
        (["encrypt"], true) => Asked::Encrypt,
        (["decrypt"], true) => Asked::Decrypt,
        (["key"], false) => Asked::Key,
        ([word @ ("encrypt" | "decrypt"), name, profiles], true) => {
            environment(name, profiles, None)?;
            if *word == "encrypt" { Asked::Encrypt } else { Asked::Decrypt }
        }
        (["key", name, profiles], false) => {
            environment(name, profiles, None)?;
            Asked::Key
        }
        _ => return Ok(None),
    };
    Ok(Some(asked))
}

/// `name-profiles.yml`; the last `-` counts.
fn form_file(file: &str, label: Option<&str>) -> Result<Asked, PathFault> {
    let (stem, extension) = file.rsplit_once('.').ok_or(PathFault::Unknown)?;
    let (_, form) = EXTENSIONS.iter().find(|(known, _)| *known == extension).ok_or(PathFault::Unknown)?;
    let (name, list) =
        stem.rsplit_once('-').filter(|(name, _)| !name.is_empty()).ok_or(PathFault::Unknown)?;
    let (name, profiles) = (self::name(name)?, profiles(list)?);
    Ok(Asked::File { form: *form, name, profiles, label: label.map(self::label).transpose()? })
}

fn environment(name: &str, list: &str, label: Option<&str>) -> Result<Asked, PathFault> {
    let label = label.map(self::label).transpose()?;
    Ok(Asked::Environment { name: self::name(name)?, profiles: profiles(list)?, label })
}

fn text(name: &str, list: &str, label: Option<&str>, path: &str) -> Result<Asked, PathFault> {
    let path = sound(path).ok_or(PathFault::Path)?;
    if path.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
        return Err(PathFault::Path);
    }
    let label = label.map(self::label).transpose()?;
    Ok(Asked::Text { name: self::name(name)?, profiles: profiles(list)?, label, path })
}

fn name(text: &str) -> Result<String, PathFault> {
    sound(text).filter(|name| name.len() <= LONGEST).ok_or(PathFault::Name)
}

fn label(text: &str) -> Result<String, PathFault> {
    sound(text).filter(|label| label.len() <= LONGEST).ok_or(PathFault::Label)
}

fn profiles(list: &str) -> Result<String, PathFault> {
    match list.len() <= LONGEST && list.split(',').all(is_profile) {
        true => Ok(list.to_owned()),
        false => Err(PathFault::Profile),
    }
}

/// A text without tricks, with `(_)` as the `/` that it stands for. What is encoded twice is looked at decoded too.
fn sound(text: &str) -> Option<String> {
    let again = percent_decode_str(text).decode_utf8().ok()?;
    for reading in [text, &again] {
        let tricks = ["..", "#", "\\", ";"].iter().any(|trick| reading.contains(trick));
        if tricks || reading.starts_with("(_)") || reading.chars().any(char::is_control) {
            return None;
        }
    }
    if again.len() != text.len() && again.contains('/') && !text.contains('/') {
        return None;
    }
    Some(text.replace("(_)", "/"))
}

/// One segment, decoded. A `/` that was hidden in it makes two readings possible, and is refused.
fn decoded(segment: &str) -> Result<String, PathFault> {
    let decoded = percent_decode_str(segment).decode_utf8().map_err(|_| PathFault::Path)?;
    match decoded.contains('/') {
        true => Err(PathFault::Path),
        false => Ok(decoded.into_owned()),
    }
}

/// Whether a segment holds an extension as a word: then it is a file's name and no profile.
fn has_extension(segment: &str) -> bool {
    segment.match_indices('.').any(|(at, _)| {
        let before = segment[..at].chars().next_back();
        let word: String = segment[at + 1..].chars().take_while(|next| is_word(*next)).collect();
        before.is_some_and(is_word) && EXTENSIONS.iter().any(|(known, _)| *known == word)
    })
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests;
