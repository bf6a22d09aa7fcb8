//! `portreeve explain`: what would become of a request, by a file or as a running gateway sees it.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use http::{Request, StatusCode, header};
use portreeve::config::{FieldValues, SampleRequest};
use portreeve::proxy::client::{Client, Limit};
use portreeve::proxy::explain::{Explanation, Stage};
use portreeve::{Checked, Document, GatewayConfig};

use super::{Failure, Outcome, block_on, load};

/// What an explanation may cost.
const LIMIT: Limit = Limit { bytes: 4 * 1024 * 1024, timeout: Duration::from_secs(10) };

const HELP: &str = "\
Examples:
  portreeve explain --url https://shop.example/products/7
  portreeve explain --config edge.yaml --method POST --url http://shop.example/orders --header 'X-Canary: 1'
  portreeve explain --server http://127.0.0.1:19092 --url http://shop.example/orders --output json

Nothing is sent to a service, no token is verified, and values that may be secrets are not shown.";

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// The gateway's file. What a control plane adds to it only a running gateway knows: see `--server`.
    #[arg(long, value_name = "FILE", default_value = "gateway.yaml", conflicts_with = "server")]
    config: PathBuf,
    /// Ask the running gateway that has its admin listener here.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// The request's method.
    #[arg(long, default_value = "GET")]
    method: String,
    /// The request's URL, as a client would write it.
    #[arg(long)]
    url: String,
    /// A header field of the request; as often as there are fields.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The address that the request comes from.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    client: IpAddr,
    /// How it is told.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let request = SampleRequest {
        method: arguments.method.clone(),
        url: arguments.url.clone(),
        headers: fields(&arguments.headers)?,
        client: arguments.client,
    };
    match &arguments.server {
        Some(server) => block_on(async {
            let explanation = asked(server, &request).await?;
            tell(&explanation, arguments.output)
        }),
        None => {
            let config: Checked<GatewayConfig> =
                load(&arguments.config, "gateway", |document| match document {
                    Document::Gateway(config) => Some(*config),
                    _ => None,
                })?;
            let stage = Stage::of_file(&config).map_err(Failure::configuration)?;
            tell(&stage.explain(&request).map_err(Failure::new)?, arguments.output)
        }
    }
}

/// The fields of the command line; a name that is there again has one more value.
fn fields(written: &[String]) -> Result<BTreeMap<String, FieldValues>, Failure> {
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for text in written {
        let wrong = || Failure::new(format!("`--header {text}` is not of the form `name: value`"));
        let (name, value) = text.split_once(':').ok_or_else(wrong)?;
        fields.entry(name.trim().to_ascii_lowercase()).or_default().push(value.trim().to_owned());
    }
    Ok(fields.into_iter().map(|(name, values)| (name, FieldValues::Many(values))).collect())
}

/// Asks a running gateway.
async fn asked(server: &str, request: &SampleRequest) -> Result<Explanation, Failure> {
    let url = format!("{}/v1/explain", server.trim_end_matches('/'));
    let nobody = |_: &str| Vec::new();
    let client = Client::new(Arc::new(nobody)).map_err(Failure::new)?;
    let body = serde_json::to_vec(request).map_err(Failure::new)?;
    let question = Request::post(&url).header(header::CONTENT_TYPE, "application/json");
    let question = question.body(body.into()).map_err(|error| Failure::new(format!("{server}: {error}")))?;
    let answer = client.send(question, LIMIT).await.map_err(Failure::new)?;
    if answer.status() != StatusCode::OK {
        let detail = serde_json::from_slice::<serde_json::Value>(answer.body()).ok();
        let detail =
            detail.as_ref().and_then(|problem| problem["detail"].as_str()).unwrap_or("no reason is given");
        return Err(Failure::new(format!("{url} answers {}: {detail}", answer.status().as_u16())));
    }
    serde_json::from_slice(answer.body())
        .map_err(|error| Failure::new(format!("{url} gives no explanation: {error}")))
}

fn tell(explanation: &Explanation, output: Output) -> Outcome {
    let text = match output {
        Output::Text => explanation.to_string(),
        Output::Json => serde_json::to_string_pretty(explanation).map_err(Failure::new)? + "\n",
    };
    write!(std::io::stdout(), "{text}").map_err(Failure::new)?;
    Ok(ExitCode::SUCCESS)
}
