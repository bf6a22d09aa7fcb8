//! A name server whose every answer a test decides, over UDP and TCP at one port.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

/// What fits into a UDP answer here; of more than that the rest is asked for over TCP.
const MOST_BY_UDP: usize = 20;

/// What is said about one name and type.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    /// These records, each with this TTL in seconds.
    Records(u32, Vec<RData>),
    /// The name has another name (first TTL), whose records follow.
    Alias(u32, &'static str, u32, Vec<RData>),
    /// There is no such name.
    NoName,
    /// SERVFAIL.
    Fails,
    /// Bytes that are no message.
    Garbage,
    /// Nothing.
    Silence,
}

/// Runs until it is dropped.
pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    zone: Arc<Zone>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Default)]
struct Zone {
    says: Mutex<BTreeMap<(String, RecordType), Says>>,
    /// In place of all of them.
    always: Mutex<Option<Says>>,
    asked: Mutex<BTreeMap<String, usize>>,
}

impl Dns {
    pub(crate) async fn start() -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            // Somebody else may have the port for TCP.
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let (address, zone) = (udp.local_addr().unwrap(), Arc::new(Zone::default()));
        let tasks = [
            tokio::spawn(answer_packets(udp, Arc::clone(&zone))),
            tokio::spawn(answer_streams(tcp, Arc::clone(&zone))),
        ];
        Self { address, zone, tasks }
    }

    /// From now on says this about a name.
    pub(crate) fn says(&self, name: &str, kind: RecordType, says: Says) {
        self.zone.says.lock().unwrap().insert((format!("{name}."), kind), says);
    }

    /// The addresses of a name; a family without any is answered with no records.
    pub(crate) fn addresses(&self, name: &str, ttl: u32, addresses: &[&str]) {
        let parsed = addresses.iter().map(|text| text.parse::<IpAddr>().unwrap());
        let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = parsed.partition(IpAddr::is_ipv4);
        for (kind, list) in [(RecordType::A, v4), (RecordType::AAAA, v6)] {
            self.says(name, kind, Says::Records(ttl, list.into_iter().map(RData::from).collect()));
        }
    }

    /// From now on says this about everything; `None` ends it.
    pub(crate) fn always(&self, says: Option<Says>) {
        *self.zone.always.lock().unwrap() = says;
    }

    /// How often it was asked about a name.
    pub(crate) fn asked(&self, name: &str) -> usize {
        self.zone.asked.lock().unwrap().get(&format!("{name}.")).copied().unwrap_or_default()
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// An SRV record.
pub(crate) fn srv(priority: u16, port: u16, target: &str) -> RData {
    weighted((priority, 0), port, target)
}

/// An SRV record with priority and weight.
pub(crate) fn weighted((priority, weight): (u16, u16), port: u16, target: &str) -> RData {
    RData::SRV(SRV::new(priority, weight, port, Name::from_ascii(target).unwrap()))
}

impl Zone {
    fn answer(&self, question: &[u8], room: usize) -> Option<Vec<u8>> {
        let question = Message::from_vec(question).unwrap();
        let query = question.queries[0].clone();
        let (name, kind) = (query.name().to_ascii().to_ascii_lowercase(), query.query_type());
        *self.asked.lock().unwrap().entry(name.clone()).or_default() += 1;
        let says = self.always.lock().unwrap().clone();
        let says = says.or_else(|| self.says.lock().unwrap().get(&(name, kind)).cloned());
        let mut answer = Message::response(question.metadata.id, OpCode::Query);
        answer.metadata.recursion_available = true;
        answer.add_query(query.clone());
        let record = |name: &Name, ttl: u32| {
            let name = name.clone();
            move |data: RData| Record::from_rdata(name.clone(), ttl, data)
        };
        match says.unwrap_or(Says::NoName) {
            Says::Records(ttl, data) => {
                answer.add_answers(data.into_iter().map(record(query.name(), ttl)));
            }
            Says::Alias(alias_ttl, other, ttl, data) => {
                let other = Name::from_ascii(other).unwrap();
                answer.add_answer(record(query.name(), alias_ttl)(RData::CNAME(CNAME(other.clone()))));
                answer.add_answers(data.into_iter().map(record(&other, ttl)));
            }
            Says::NoName => answer.metadata.response_code = ResponseCode::NXDomain,
            Says::Fails => answer.metadata.response_code = ResponseCode::ServFail,
            Says::Garbage => return Some(b"\xff\xfenot a message at all".to_vec()),
            Says::Silence => return None,
        }
        if answer.answers.len() > room {
            answer.answers.truncate(room);
            answer.metadata.truncation = true;
        }
        Some(answer.to_vec().unwrap())
    }
}

async fn answer_packets(socket: UdpSocket, zone: Arc<Zone>) {
    let mut packet = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut packet).await {
        if let Some(answer) = zone.answer(&packet[..length], MOST_BY_UDP) {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

async fn answer_streams(listener: TcpListener, zone: Arc<Zone>) {
    while let Ok((stream, _)) = listener.accept().await {
        // One at a time is enough for a test; a peer that has gone is not missed.
        let _ = answer_stream(stream, &zone).await;
    }
}

async fn answer_stream(mut stream: TcpStream, zone: &Zone) -> std::io::Result<()> {
    loop {
        let mut question = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut question).await?;
        let Some(answer) = zone.answer(&question, usize::MAX) else { continue };
        stream.write_u16(answer.len().try_into().unwrap()).await?;
        stream.write_all(&answer).await?;
    }
}
