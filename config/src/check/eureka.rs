//! The Eureka server's part of a control plane's document.

use std::collections::BTreeSet;

use super::{access, address, process};
use crate::{BasicUser, EurekaConfig, Fault, Faults};

pub(super) fn faults(config: &EurekaConfig) -> Faults {
    let mut faults = Faults::default();
    faults.add("listen", address::listener(&config.listen).err());
    faults.add("users", users(&config.users));
    faults
}

/// The users of a listener that takes HTTP Basic.
pub(super) fn users(users: &[BasicUser]) -> Faults {
    let mut faults = Faults::default();
    let mut names = BTreeSet::new();
    for (index, user) in users.iter().enumerate() {
        let place = format!("[{index}]");
        faults.add(&place, user_faults(user));
        if !names.insert(&user.name) {
            faults.add(&place, [Fault::new("name", "another user has this name already")]);
        }
    }
    faults
}

/// Whether HTTP Basic can carry it, and a log line too.
pub(super) fn is_user_name(name: &str) -> bool {
    let sound = |character: char| !character.is_control() && character != ':';
    (1..=128).contains(&name.len()) && name.chars().all(sound)
}

fn user_faults(user: &BasicUser) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !is_user_name(&user.name) {
        let fault = Fault::new("name", "this is not a name for HTTP Basic");
        faults.push(fault.hint("1 to 128 printable characters without `:`"));
    }
    match (&user.password_hash, &user.password_file) {
        (Some(hash), None) if !hash.starts_with("$argon2") => {
            let fault = Fault::new("password_hash", "this is not an Argon2 hash");
            faults.push(fault.hint("make one with `argon2 SALT -id -e`, or give `password_file`"));
        }
        (None, Some(file)) => faults.extend(process::folder(file).map(|fault| fault.under("password_file"))),
        (Some(_), None) => {}
        _ => {
            let fault = Fault::new("", "a user has `password_hash` or `password_file`, and not both");
            faults.push(fault.hint("the hash is the safer one: it is of no use to whoever reads this file"));
        }
    }
    let services = access::service_list(user.services.as_deref().unwrap_or_default());
    faults.extend(services.into_iter().map(|fault| fault.under("services")));
    faults
}
