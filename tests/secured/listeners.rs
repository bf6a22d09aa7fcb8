//! The control plane's end: every listener speaks TLS, follows its files, wants certificates where it was told to, and
//! lets nobody wait for a client that is slow to greet.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use portreeve::config::ControlPlaneLink;
use portreeve::proxy::client::FetchError;
use portreeve::{ControlPlane, RunningControlPlane};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::stage::{Authority, LIMIT, Stage, client, eventually, is_installed, send, shell};

#[tokio::test]
async fn the_api_eureka_and_the_config_server_answer_https() {
    if !is_installed("curl") {
        return;
    }
    let stage = Stage::new();
    let open = json!({"listen": "127.0.0.1:0"});
    let plane = stage.plane(json!({"eureka": open, "config_server": open})).await;
    let ports = [plane.address(), plane.eureka_address().unwrap(), plane.config_server_address().unwrap()];
    let [api, eureka, config] = ports.map(|address| format!("https://localhost:{}", address.port()));
    let instance = r#"{"instance": {"instanceId": "n1", "app": "ORDERS", "hostName": "n1",
        "ipAddr": "127.0.0.1", "vipAddress": "orders", "port": {"$": 9001, "@enabled": "true"},
        "dataCenterInfo": {"name": "MyOwn"}}}"#;
    let script = format!(
        "set -e; curl() {{ command curl --silent --show-error --fail --cacert ca.pem \"$@\"; echo; }}
        curl {eureka}/eureka/apps/ORDERS -H 'Content-Type: application/json' -d '{instance}'
        curl {eureka}/eureka/apps -H 'Accept: application/json'
        curl {api}/v1/instances -H \"Authorization: Bearer $(cat operator.token)\"
        curl {config}/orders/default
        curl --tlsv1.2 --tls-max 1.2 {config}/orders/default
        curl -o /dev/null -w '%{{http_version}} %{{ssl_verify_result}}' {config}/orders/default"
    );
    let told = shell(&stage.path(""), &script).await;
    for part in ["ORDERS", "\"n1\"", "propertySources", "1.1 0"] {
        assert!(told.contains(part), "no {part} in {told}");
    }
    for address in ports {
        let request = Request::get(format!("http://{address}/")).body(Bytes::new()).unwrap();
        let answer = send(&client(), request).await.unwrap();
        assert_eq!(answer.status(), 400);
        assert!(String::from_utf8_lossy(answer.body()).contains("use https://"), "{:?}", answer.body());
    }
    plane.shutdown().await;
}

#[tokio::test]
async fn one_listener_may_stay_in_plain_text() {
    let stage = Stage::new();
    let plane =
        stage.plane(json!({"eureka": {"listen": "127.0.0.1:0", "plain_text": true, "anyone": true}})).await;
    let url = format!("http://{}/eureka/apps", plane.eureka_address().unwrap());
    let answer = send(&client(), Request::get(url).body(Bytes::new()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(stage.ask(&stage.link(&plane)).await.unwrap().status().is_success());
    plane.shutdown().await;
}

#[tokio::test]
async fn a_pair_is_replaced_while_it_runs_and_a_bad_one_changes_nothing() {
    let stage = Stage::new();
    let plane = stage.plane(json!({})).await;
    let [second, third] = ["second", "third"].map(Authority::new);
    let trusting = |ca: &Authority, name: &str| {
        let ca = Some(stage.write(name, &ca.pem));
        ControlPlaneLink { ca, ..stage.link(&plane) }
    };
    let (second_link, third_link) = (trusting(&second, "2.pem"), trusting(&third, "3.pem"));
    let trusts = async |link: &ControlPlaneLink| stage.ask(link).await.is_ok().then_some(());
    assert!(trusts(&second_link).await.is_none());
    stage.pair("plane", &second.signed(&["localhost"]));
    eventually("the second pair is shown", || trusts(&second_link)).await;
    // A key of another certificate, then no key at all.
    for bad in [stage.authority.signed(&["localhost"])[1].as_str(), "rubbish"] {
        stage.write("plane.key", bad);
        let until = Instant::now() + Duration::from_millis(800);
        while Instant::now() < until {
            assert!(trusts(&second_link).await.is_some(), "the good pair is gone");
        }
    }
    stage.pair("plane", &third.signed(&["localhost"]));
    eventually("the third pair is shown", || trusts(&third_link)).await;
    assert!(trusts(&second_link).await.is_none());
    plane.shutdown().await;
}

#[tokio::test]
async fn nobody_comes_in_without_a_certificate_where_one_is_asked_for() {
    let stage = Stage::new();
    let mut tls = stage.tls();
    tls["client_ca"] = json!(stage.path("ca.pem"));
    let plane = stage.plane(json!({"tls": tls})).await;
    stage.pair("ours", &stage.authority.signed(&["node"]));
    stage.pair("theirs", &Authority::new("theirs").signed(&["node"]));
    let with = |name: &str| ControlPlaneLink {
        certificate: Some(stage.path(&format!("{name}.pem"))),
        key: Some(stage.path(&format!("{name}.key"))),
        ..stage.link(&plane)
    };
    assert!(stage.ask(&with("ours")).await.unwrap().status().is_success());
    for link in [stage.link(&plane), with("theirs")] {
        let refused = stage.ask(&link).await.unwrap_err();
        assert!(matches!(refused, FetchError::Refused { .. }), "{refused}");
        assert!(refused.to_string().contains("give a `certificate`"), "{refused}");
    }
    plane.shutdown().await;
}

#[tokio::test]
async fn clients_that_are_slow_to_greet_keep_nobody_waiting() {
    let stage = Stage::new();
    let plane = stage.plane(json!({})).await;
    let mut silent = Vec::new();
    for index in 0..200 {
        let mut stream = TcpStream::connect(plane.address()).await.unwrap();
        if index % 2 == 0 {
            // The beginning of a greeting that says it is longer.
            stream.write_all(&[22, 3, 1, 1, 0, 1]).await.unwrap();
        }
        silent.push(stream);
    }
    let link = stage.link(&plane);
    let began = Instant::now();
    assert!(stage.ask(&link).await.unwrap().status().is_success());
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    // They are not kept for ever.
    let mut rest = Vec::new();
    let last = silent.last_mut().unwrap();
    timeout(LIMIT, last.read_to_end(&mut rest)).await.expect("it is closed").unwrap();
    stops_in_time(plane).await;
}

async fn stops_in_time(plane: RunningControlPlane) {
    let _silent = TcpStream::connect(plane.address()).await.unwrap();
    let began = Instant::now();
    plane.shutdown().await;
    assert!(began.elapsed() < Duration::from_secs(4), "a handshake kept it: {:?}", began.elapsed());
}

#[tokio::test]
async fn a_fault_in_a_file_is_told_at_the_start_with_its_place() {
    let stage = Stage::new();
    stage.write("bad.key", "nothing");
    let config = json!({
        "listen": "127.0.0.1:0", "data_dir": stage.path("data"),
        "tls": {"certificate": stage.path("plane.pem"), "key": stage.path("bad.key"), "client_ca": "no.pem"},
        "eureka": {"listen": "127.0.0.1:0", "tls": {"certificate": "gone.pem", "key": stage.path("plane.key")}},
    });
    let fault = ControlPlane::start(serde_json::from_value(config).unwrap()).await.unwrap_err().to_string();
    for part in ["tls.key: ", "tls.client_ca: there is no file", "eureka.tls.certificate: there is no file"] {
        assert!(fault.contains(part), "no {part} in {fault}");
    }
}
