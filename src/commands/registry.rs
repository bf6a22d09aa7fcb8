//! `portreeve services`, `instances` and `nodes`: who is there, and who is stale.

use std::process::ExitCode;

use portreeve::config::Fault;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::api::{Asking, Question};
use super::output::{self, Form, Table, duration};
use super::{Failure, Outcome, block_on};

#[derive(clap::Args)]
pub(crate) struct Services {
    #[command(flatten)]
    asking: Asking,
}

#[derive(clap::Args)]
pub(crate) struct Instances {
    /// Only those of this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only those that do not take requests, or whose lease is more than half over.
    #[arg(long)]
    stale: bool,
    #[command(flatten)]
    asking: Asking,
}

#[derive(clap::Args)]
pub(crate) struct Nodes {
    /// Only those that have refused a revision, or are behind the newest one.
    #[arg(long)]
    stale: bool,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Deserialize)]
struct Service {
    name: String,
    instances: u64,
    up: u64,
}

#[derive(Deserialize)]
struct Instance {
    service: String,
    id: String,
    address: String,
    status: String,
    lease_ms: u64,
    lease_left_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Node {
    node: String,
    kind: String,
    connected_since: String,
    replica: Option<String>,
    acknowledged: u64,
    behind_by: u64,
    refused: Option<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    revision: u64,
    faults: Vec<Fault>,
}

pub(crate) fn services(arguments: Services) -> Outcome {
    block_on(async {
        let answer = arguments.asking.ask(Question::get("/v1/services")).await?;
        let list = List::<Service>::of(answer, "services", |_| true)?;
        list.print(arguments.asking.output, |services| {
            let mut table = Table::new(&["SERVICE", "INSTANCES", "UP"]);
            for Service { name, instances, up } in services {
                table.line([name, instances.to_string(), up.to_string()]);
            }
            table.print("no service is known")
        })
    })
}

pub(crate) fn instances(arguments: Instances) -> Outcome {
    block_on(async {
        let question = Question::get("/v1/instances").with("service", arguments.service.as_ref());
        let answer = arguments.asking.ask(question).await?;
        let wanted = |instance: &Instance| !arguments.stale || instance.is_stale();
        let list = List::<Instance>::of(answer, "instances", wanted)?;
        list.print(arguments.asking.output, |instances| {
            let mut table =
                Table::new(&["SERVICE", "INSTANCE", "ADDRESS", "STATUS", "LEASE", "LAST HEARD", "ENDS IN"]);
            for instance in instances {
                let (heard, ends) = (instance.heard(), instance.ends());
                let Instance { service, id, address, status, lease_ms, .. } = instance;
                table.line([service, id, address, status, duration(lease_ms), heard, ends]);
            }
            table.print(if arguments.stale { "no instance is stale" } else { "no instance is registered" })
        })
    })
}

pub(crate) fn nodes(arguments: Nodes) -> Outcome {
    block_on(async {
        let answer = arguments.asking.ask(Question::get("/v1/nodes")).await?;
        let wanted = |node: &Node| !arguments.stale || node.behind_by > 0 || node.is_at_odds();
        let list = List::<Node>::of(answer, "nodes", wanted)?;
        list.print(arguments.asking.output, |nodes| {
            let columns =
                ["NODE", "KIND", "REPLICA", "CONNECTED SINCE", "ACKNOWLEDGED", "BEHIND BY", "REFUSED"];
            let mut table = Table::new(&columns);
            for node in nodes {
                let refused = node.refusal();
                let Node { node, kind, connected_since, replica, acknowledged, behind_by, .. } = node;
                table.line([
                    node,
                    kind,
                    replica.unwrap_or_else(|| "(asked)".to_owned()),
                    connected_since,
                    acknowledged.to_string(),
                    behind_by.to_string(),
                    refused,
                ]);
            }
            table.print(if arguments.stale { "no node is behind" } else { "no node is connected" })
        })
    })
}

impl Asking {
    async fn ask(&self, question: Question) -> Result<Value, Failure> {
        self.connection.open()?.ask(question).await
    }
}

/// The items of an answer, and the answer with only them.
struct List<T> {
    answer: Value,
    items: Vec<T>,
}

impl<T: DeserializeOwned> List<T> {
    fn of(mut answer: Value, field: &str, wanted: impl Fn(&T) -> bool) -> Result<Self, Failure> {
        let mut items = Vec::new();
        let mut kept = Vec::new();
        for value in answer[field].as_array_mut().map(std::mem::take).unwrap_or_default() {
            let item = T::deserialize(&value).map_err(|fault| {
                Failure::new(format!(
                    "the control plane is of another version: its answer makes no sense ({fault})"
                ))
            })?;
            if wanted(&item) {
                items.push(item);
                kept.push(value);
            }
        }
        answer[field] = kept.into();
        Ok(Self { answer, items })
    }

    fn print(self, form: Form, table: impl FnOnce(Vec<T>) -> Result<(), Failure>) -> Outcome {
        match form {
            Form::Json => output::print_json(&self.answer)?,
            Form::Table => table(self.items)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Instance {
    fn is_stale(&self) -> bool {
        self.status != "up" || self.lease_left_ms.is_some_and(|left| left < self.lease_ms / 2)
    }

    /// A lease runs from the last sign of life.
    fn heard(&self) -> String {
        match self.lease_left_ms {
            Some(left) => format!("{} ago", duration(self.lease_ms.saturating_sub(left))),
            None => "-".to_owned(),
        }
    }

    fn ends(&self) -> String {
        self.lease_left_ms.map_or_else(|| "-".to_owned(), duration)
    }
}

impl Node {
    /// Whether what it refused last is still ahead of what it has in force.
    fn is_at_odds(&self) -> bool {
        self.refused.as_ref().is_some_and(|refused| refused.revision > self.acknowledged)
    }

    fn refusal(&self) -> String {
        match &self.refused {
            Some(Refused { revision, faults }) => {
                let first = faults.first().map(|fault| format!(": {fault}")).unwrap_or_default();
                format!("{revision}{first}")
            }
            None => String::new(),
        }
    }
}
