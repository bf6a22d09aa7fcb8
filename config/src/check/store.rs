//! Where a control plane keeps its data.

use super::{address, process};
use crate::{EtcdConfig, EtcdTls, Fault, Faults, StoreConfig};

/// Longer prefixes are a slip, and every key carries it.
const LONGEST_PREFIX: usize = 128;

pub(super) fn faults(store: &StoreConfig) -> Faults {
    let mut faults = Faults::default();
    if let StoreConfig::Etcd(etcd) = store {
        faults.add("etcd", etcd_faults(etcd));
    }
    faults
}

fn etcd_faults(etcd: &EtcdConfig) -> Faults {
    let mut faults = Faults::default();
    if etcd.endpoints.is_empty() {
        let hint = "name etcd's members: `http://127.0.0.1:2379`";
        faults.push(Fault::new("endpoints", "no endpoint is named").hint(hint));
    }
    for (index, endpoint) in etcd.endpoints.iter().enumerate() {
        faults.add(&format!("endpoints[{index}]"), endpoint_fault(endpoint, etcd.tls.is_some()));
    }
    let sound = etcd.prefix.bytes().all(|byte| byte.is_ascii_graphic());
    if !sound || !(2..=LONGEST_PREFIX).contains(&etcd.prefix.len()) || !etcd.prefix.ends_with('/') {
        let problem =
            format!("a prefix is 2 to {LONGEST_PREFIX} printable ASCII characters and ends with `/`");
        faults.push(Fault::new("prefix", problem).hint("`/portreeve/`"));
    }
    if let Some(user) = &etcd.user {
        if user.name.is_empty() {
            faults.push(Fault::new("user.name", "this name is empty"));
        }
        faults.add("user.password_file", process::folder(&user.password_file));
    }
    if let Some(tls) = &etcd.tls {
        faults.add("tls", tls_faults(tls));
    }
    faults
}

fn endpoint_fault(endpoint: &str, has_tls: bool) -> Option<Fault> {
    match address::url(endpoint, &["http", "https"]) {
        Err(fault) => Some(fault),
        Ok(url) if !matches!(url.path, "" | "/") => {
            Some(Fault::new("", "an endpoint has no path").hint("end it after the port"))
        }
        Ok(url) if url.scheme == "https" && !has_tls => {
            Some(Fault::new("", "nobody is said to be trusted for `https://`").hint("name `tls.ca_file`"))
        }
        Ok(_) => None,
    }
}

fn tls_faults(tls: &EtcdTls) -> Faults {
    let mut faults = Faults::default();
    faults.add("ca_file", process::folder(&tls.ca_file));
    match (&tls.certificate_file, &tls.key_file) {
        (Some(_), None) => faults.push(Fault::new("key_file", "the certificate's key is not named")),
        (None, Some(_)) => faults.push(Fault::new("certificate_file", "the key's certificate is not named")),
        (certificate, key) => {
            faults.add("certificate_file", certificate.as_deref().and_then(process::folder));
            faults.add("key_file", key.as_deref().and_then(process::folder));
        }
    }
    faults
}
