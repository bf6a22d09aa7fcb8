//! An explanation as text for a terminal. Control characters of a request never reach it.

use std::fmt::{self, Write as _};

use super::answer::{Condition, Explanation, Policies, Taken, Tried};

impl fmt::Display for Explanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text)?;
        out.write_str(&text.replace(|letter: char| letter.is_control() && letter != '\n', "\u{fffd}"))
    }
}

impl Explanation {
    fn write(&self, out: &mut String) -> fmt::Result {
        let asked = &self.request;
        writeln!(out, "{} {} from {}", asked.method, asked.url, asked.client)?;
        if let Some(refused) = &self.refused {
            writeln!(out, "→ refused: {} {}. {}", refused.status, refused.reason, refused.detail)?;
        }
        if let Some(taken) = &self.taken {
            let would = if self.refused.is_some() { "otherwise " } else { "" };
            writeln!(out, "→ {would}route `{}` to service `{}`", taken.route, taken.service)?;
        }
        if !self.tried.is_empty() {
            writeln!(out, "\nRoutes tried, in order:")?;
        }
        self.tried.iter().try_for_each(|tried| tried.write(out))?;
        if self.untried > 0 {
            let which = if self.untried > self.closest.len() { ", the closest of them" } else { "" };
            writeln!(out, "\nNot tried: {}{which}:", self.untried)?;
        }
        for other in &self.closest {
            let host = other.host.as_deref().unwrap_or("");
            writeln!(out, "  - {}  {host}{}: {}", other.route, other.path, other.because)?;
        }
        self.taken.as_ref().map_or(Ok(()), |taken| taken.write(out))
    }
}

impl Tried {
    fn write(&self, out: &mut String) -> fmt::Result {
        let mark = if self.takes { '✓' } else { '✗' };
        writeln!(out, "  {mark} {}  {}{}", self.route, self.host.as_deref().unwrap_or(""), self.path)?;
        self.conditions.iter().try_for_each(|condition| writeln!(out, "      {condition}"))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holds = if self.holds { "holds" } else { "fails" };
        let found = if self.found.is_empty() { "nothing".to_owned() } else { self.found.join(", ") };
        write!(out, "{}: {holds}; wanted {}, found {found}", self.of, self.wanted)
    }
}

impl Taken {
    fn write(&self, out: &mut String) -> fmt::Result {
        if !self.captures.is_empty() {
            writeln!(out, "\nCaptured:")?;
        }
        for (name, value) in &self.captures {
            writeln!(out, "  {{{name}}} = {value}")?;
        }
        writeln!(out, "\nPolicies:")?;
        self.policies.write(out)?;
        writeln!(out, "\nInstances of `{}`:", self.service)?;
        match (self.may_have_more, self.instances.is_empty()) {
            (true, _) => writeln!(out, "  those that the control plane knows, which was not asked")?,
            (false, true) => writeln!(out, "  none")?,
            (false, false) => {}
        }
        for instance in &self.instances {
            writeln!(out, "  {}: {}", instance.address, instance.state)?;
        }
        if let Some(owner) = &self.belongs_to {
            writeln!(out, "  the request belongs to {owner}")?;
        }
        writeln!(out, "\nSent to the instance:\n  {} {} HTTP/1.1", self.sent.method, self.sent.target)?;
        self.sent.fields.iter().try_for_each(|field| writeln!(out, "  {}: {}", field.name, field.value))
    }
}

impl Policies {
    fn write(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "  token: {}", if self.needs_token { "needed" } else { "not needed" })?;
        match &self.cache {
            None => writeln!(out, "  cache: none")?,
            Some(cache) => {
                let asked =
                    if cache.is_asked { "asked for this request" } else { "not asked for this request" };
                writeln!(out, "  cache: {} for {}, {asked}", cache.ttl, cache.share)?;
            }
        }
        writeln!(out, "  timeout: {}; to connect: {}", self.timeout, self.connect_timeout)?;
        writeln!(out, "  attempts: {} on {}", self.attempts, self.repeats.join(", "))?;
        writeln!(out, "  balance: {}", self.balance)?;
        writeln!(out, "  largest body: {} bytes", self.max_body)?;
        if let Some(protocol) = &self.upgrade {
            writeln!(out, "  may switch to: {protocol}")?;
        }
        if self.grpc_web {
            writeln!(out, "  gRPC-Web is translated")?;
        }
        Ok(())
    }
}
