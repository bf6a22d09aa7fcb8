//! Nodes with instances of their own: registrations over streams, then signs of life. Lines are sent when they are due,
//! each stream's in a packet of its own as sidecars send them, so that none is read together with another by being late.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::Outcome;
use super::arguments::Arguments;
use super::instances::Instances;
use super::node::{Node, Said};
use super::server::Server;

/// Registrations of one stream that wait for their answer.
const UNDER_WAY: u64 = 16;
/// Comes behind all others, and is refused at once: what was sent before is read when the answer is there.
const LAST: &str = "{}";
/// A round of lines is spread over this.
const TICK: Duration = Duration::from_millis(2);

/// `streams=`, each with its share of `instances=`; then `rate=` lines a second for `seconds=`.
pub(crate) async fn measure(arguments: &Arguments) -> Outcome<()> {
    let (address, pid): (SocketAddr, u32) = (arguments.get("address")?, arguments.get("pid")?);
    let (streams, rate): (u64, f64) = (arguments.get("streams")?, arguments.get("rate")?);
    let (instances, seconds): (_, f64) = (Instances::read(arguments)?, arguments.get("seconds")?);
    let share = instances.count / streams;
    let mut nodes = Vec::new();
    for number in 0..streams {
        let hello = format!(r#"{{"type":"hello","node":"node-{number}","kind":"sidecar","services":[]}}"#);
        nodes.push(Node::open(address, &hello).await?);
    }
    for node in &mut nodes {
        node.opened().await?;
    }
    let server = Server::watch(pid)?;
    let mut nodes = register(nodes, instances, share).await?;
    println!("{{{}}}", server.spent()?.report("stream-register", streams * share));
    let server = Server::watch(pid)?;
    let lines = beat(&nodes, rate, seconds).await? + streams;
    for node in &mut nodes {
        node.say(LAST).await?;
    }
    for node in &mut nodes {
        refusal(node).await?;
    }
    let spent = server.spent()?;
    let leases = spent.report("leases", lines * share);
    println!("{{{},\"streams\":{streams}}}", spent.report("lines", lines));
    println!("{{{leases},\"streams\":{}}}", nodes.len());
    Ok(())
}

/// Each node registers the first `share` of its instances, with some of them under way at any time; all nodes at the same
/// time.
async fn register(nodes: Vec<Node>, instances: Instances, share: u64) -> Outcome<Vec<Node>> {
    let streams = nodes.len() as u64;
    let mut running = JoinSet::new();
    for (number, mut node) in nodes.into_iter().enumerate() {
        running.spawn_local(async move {
            let line = |turn: u64| instances.register_line(instances.first + number as u64 + turn * streams);
            let (mut said, mut answered) = (0, 0);
            while answered < share {
                while said < share && said < answered + UNDER_WAY {
                    node.say(&line(said)).await?;
                    said += 1;
                }
                answered += answers(&mut node).await?;
            }
            Ok::<_, super::Fault>((number, node))
        });
    }
    let mut nodes = Vec::new();
    while let Some(done) = running.join_next().await {
        nodes.push(done??);
    }
    nodes.sort_by_key(|(number, _)| *number);
    Ok(nodes.into_iter().map(|(_, node)| node).collect())
}

/// Reads once; gives how many registrations were confirmed.
async fn answers(node: &mut Node) -> Outcome<u64> {
    let (mut count, mut refused) = (0, None);
    node.read(|said, _, text| match said {
        Said::Registered => count += 1,
        Said::Refused => refused = Some(text.to_owned()),
        _ => {}
    })
    .await?;
    refused.map_or(Ok(count), |text| Err(text.into()))
}

/// Waits until a line was refused.
async fn refusal(node: &mut Node) -> Outcome<()> {
    let mut is_there = false;
    while !is_there {
        node.read(|said, _, _| is_there |= said == Said::Refused).await?;
    }
    Ok(())
}

/// Gives how many lines were sent.
async fn beat(nodes: &[Node], rate: f64, seconds: f64) -> Outcome<u64> {
    let line = "{\"type\":\"renew\"}\n";
    let (began, mut sent) = (Instant::now(), 0_u64);
    let mut turns = nodes.iter().cycle();
    loop {
        let elapsed = began.elapsed().as_secs_f64();
        if elapsed >= seconds {
            return Ok(sent);
        }
        let due = (elapsed * rate) as u64;
        while sent < due {
            let Some(node) = turns.next() else { return Ok(sent) };
            node.write(line.as_bytes()).await?;
            sent += 1;
        }
        tokio::time::sleep(TICK).await;
    }
}
