//! What a control plane must ask of those who come from other machines: TLS and a secret, or somebody's word that
//! neither is wanted.

use super::{address, process};
use crate::{BasicUser, ControlPlaneConfig, ControlPlaneTls, Fault, Faults};

/// One listener as far as strangers are concerned.
struct Door<'a> {
    listen: &'a str,
    tls: Option<&'a ControlPlaneTls>,
    /// What stands at the listener itself.
    own: (Option<&'a ControlPlaneTls>, bool),
    is_plain_wanted: bool,
}

pub(super) fn faults(config: &ControlPlaneConfig) -> Faults {
    let mut faults = Faults::default();
    let own = (config.tls.as_ref(), config.plain_text);
    let door = Door { listen: &config.listen, tls: own.0, own, is_plain_wanted: config.plain_text };
    faults.add("", door.faults());
    if config.tokens.is_empty() && door.is_beyond_loopback() {
        let problem = format!(
            "`{}` is reached from other machines, and whoever reaches it may do everything",
            config.listen
        );
        faults.push(Fault::new("tokens", problem).hint(
            "list `tokens`: `[{name: me, role: admin, token_file: admin.token}]`, a token by `openssl rand -hex 32`",
        ));
    }
    if let Some(eureka) = &config.eureka {
        let own = (eureka.tls.as_ref(), eureka.plain_text);
        let is_plain_wanted = eureka.plain_text || config.plain_text;
        let door = Door { listen: &eureka.listen, tls: config.eureka_tls(), own, is_plain_wanted };
        faults.add("eureka", door.faults());
        faults.add("eureka", door.users(&eureka.users, eureka.anyone));
    }
    if let Some(server) = &config.config_server {
        let own = (server.tls.as_ref(), server.plain_text);
        let is_plain_wanted = server.plain_text || config.plain_text;
        let door = Door { listen: &server.listen, tls: config.config_server_tls(), own, is_plain_wanted };
        faults.add("config_server", door.faults());
        faults.add("config_server", door.users(&server.users, server.anyone));
    }
    faults
}

impl Door<'_> {
    fn is_beyond_loopback(&self) -> bool {
        address::listener(self.listen).is_ok_and(|address| !address.ip().to_canonical().is_loopback())
    }

    fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        if let Some(tls) = self.own.0 {
            faults.add("tls.certificate", process::folder(&tls.certificate));
            faults.add("tls.key", process::folder(&tls.key));
            faults.add("tls.client_ca", tls.client_ca.as_deref().and_then(process::folder));
        }
        if let (Some(_), true) = self.own {
            let fault = Fault::new("plain_text", "`tls` is there too, and only one of them can hold");
            faults.push(fault.hint("keep `tls`, or `plain_text: true`"));
        }
        if self.tls.is_none() && !self.is_plain_wanted && self.is_beyond_loopback() {
            let problem = format!(
                "`{}` is reached from other machines, and plain text can be read and changed on the way",
                self.listen
            );
            faults.push(Fault::new("listen", problem).hint(
                "give `tls: {certificate: …, key: …}`, or say `plain_text: true` where the network is private",
            ));
        }
        faults
    }

    /// Those who may come in by HTTP Basic; a certificate that is asked for is as good.
    fn users(&self, users: &[BasicUser], anyone: bool) -> Option<Fault> {
        if anyone && !users.is_empty() {
            let fault = Fault::new("anyone", "`users` are there too, and only one of them can hold");
            return Some(fault.hint("keep `users`, or `anyone: true`"));
        }
        let is_asked = self.tls.is_some_and(|tls| tls.client_ca.is_some());
        let is_open = users.is_empty() && !anyone && !is_asked && self.is_beyond_loopback();
        is_open.then(|| {
            let problem = format!("`{}` is reached from other machines, and asks nobody who they are", self.listen);
            Fault::new("users", problem)
                .hint("list `users` with name and password, or say `anyone: true` where all who reach it may use it")
        })
    }
}
