//! A gateway inside another program: `cargo run --example embedded -- 127.0.0.1:8080` puts one before that address.

use portreeve::{Gateway, RouteConfig};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let service = std::env::args().nth(1).ok_or("say where the service listens, such as 127.0.0.1:8080")?;
    let gateway = Gateway::builder()
        .listen("127.0.0.1:0")
        .service("hello", [service])
        .route(RouteConfig::new("hello", "/hello/*", "hello"))
        .serve()
        .await?;
    println!("http://{}/hello/", gateway.local_addrs().listen);

    tokio::signal::ctrl_c().await?;
    gateway.shutdown().await;
    Ok(())
}
