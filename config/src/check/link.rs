//! A node's way to the control plane: addresses, the files that belong to TLS, and a token that is not to be overheard.

use super::{address, node_name, process};
use crate::{ControlPlaneLink, Fault, Faults};

pub(super) fn faults(link: &ControlPlaneLink) -> Faults {
    let mut faults = Faults::default();
    let has_token = link.token_file.is_some() && !link.plain_text;
    faults.add("url", url(&link.url, has_token));
    for (index, replica) in link.replicas.iter().enumerate() {
        let place = format!("replicas[{index}]");
        faults.add(&place, url(replica, has_token));
        if link.urls().take(index + 1).any(|other| other == replica) {
            faults.push(Fault::new(place, "this replica is there twice").hint("take it out"));
        }
    }
    faults.add("node", link.node.as_deref().and_then(node_name));
    faults.add("", files(link));
    faults
}

fn url(url: &str, has_token: bool) -> Option<Fault> {
    match address::url(url, &["http", "https"]) {
        Err(fault) => Some(fault),
        Ok(url) if !matches!(url.path, "" | "/") => {
            Some(Fault::new("", "the control plane's URL has no path").hint("end it after the port"))
        }
        Ok(_) if has_token && super::is_overheard(url) => {
            let problem = "the token of `token_file` would cross the network as plain text";
            Some(Fault::new("", problem).hint(
                "write `https://` (the control plane needs `tls`), or say `plain_text: true` where the network is private",
            ))
        }
        Ok(_) => None,
    }
}

fn files(link: &ControlPlaneLink) -> Faults {
    let mut faults = Faults::default();
    let given = [
        ("ca", &link.ca),
        ("certificate", &link.certificate),
        ("key", &link.key),
        ("token_file", &link.token_file),
    ];
    for (place, file) in given {
        faults.add(place, file.as_deref().and_then(process::folder));
    }
    let is_tls = link.urls().any(|url| url.starts_with("https://"));
    for (place, _) in given[..3].iter().filter(|(_, file)| file.is_some() && !is_tls) {
        let fault = Fault::new(*place, "this is for TLS, and no address here begins with `https://`");
        faults.push(fault.hint("write `https://` in front of the address"));
    }
    match (&link.certificate, &link.key) {
        (Some(_), None) => {
            faults.push(Fault::new("key", "the certificate has no key").hint("give `key` too"))
        }
        (None, Some(_)) => {
            faults
                .push(Fault::new("certificate", "the key has no certificate").hint("give `certificate` too"));
        }
        _ => {}
    }
    faults
}
