//! What the demo prints when it is ready: every story of the shop, to be pasted.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use portreeve_demo_services::ShopService;

use super::plan::{Plan, this_program};

/// Prints the guide. A reader that has gone is no reason to stop.
pub(super) fn print(plan: &Plan, logs: &Path, took: Duration) {
    let _ = write!(std::io::stdout(), "{}", text(plan, logs, took));
    let _ = std::io::stdout().flush();
}

fn text(plan: &Plan, logs: &Path, took: Duration) -> String {
    let gateway = format!("http://{}", plan.gateway_address);
    let control_plane = plan.control_plane_url();
    let products: Vec<String> = ports(plan, ShopService::Products);
    let third = third_instance(plan);
    format!(
        r#"
Portreeve is ready after {seconds:.1} s.   Ctrl-C stops all of it.

  gateway        {gateway}
  control plane  {control_plane}
  traces         {control_plane}/zipkin/
  metrics        http://{admin}/metrics
  logs           {logs}

Paste these, from top to bottom:

  # 1. Without a token: 401, with the reason and the trace id.
  curl -i {gateway}/products

  # 2. A token. (Or: POST /users, then POST /users/login with a password.)
  TOKEN=$(curl -s '{gateway}/auth/signIn?user_id=alice' | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
  AUTH="Authorization: Bearer $TOKEN"

  # 3. A product; calls to it alternate between ports {products}.
  curl -i -H "$AUTH" -H 'Content-Type: application/json' -d '{{"name":"Lamp","price":12.5,"stock":10}}' {gateway}/products
  for i in 1 2 3 4; do curl -s -o /dev/null -D - -H "$AUTH" {gateway}/products/1 | grep -i server-port; done

  # 4. An order: stock is reserved, payment is made, a notification is sent.
  ORDER=$(curl -s -H "$AUTH" -H 'Content-Type: application/json' -d '{{"product_ids":[1]}}' {gateway}/order | sed 's/.*"order_id":"\([^"]*\)".*/\1/')

  # 5. The second answer comes from the gateway's memory (Age, Cache-Status); a PUT drops it.
  curl -i -H "$AUTH" {gateway}/order/$ORDER
  curl -i -H "$AUTH" {gateway}/order/$ORDER
  curl -i -X PUT -H "$AUTH" -H 'Content-Type: application/json' -d '{{"product_id":1}}' {gateway}/order/$ORDER

  # 6. One request, one trace, through every hop: {control_plane}/zipkin/

  # 7. A third instance of products takes its turn as soon as it is registered (in another terminal; Ctrl-C ends it).
  {third}

  # 8. A route, added while traffic runs; a bad one is refused with every fault.
  curl -i -X PUT -H 'Content-Type: application/json' -d '{{"match":{{"path":"/catalogue"}},"service":"products","rewrite":{{"path":"/products"}}}}' {control_plane}/v1/routes/catalogue
  curl -i -H "$AUTH" {gateway}/catalogue

  # 9. A configuration value reaches the running service within a second.
  curl -i -X PATCH -H 'Content-Type: application/json' -d '{{"currency":"CHF"}}' {control_plane}/v1/config/application/default

"#,
        seconds = took.as_secs_f64(),
        admin = plan.admin_address,
        logs = logs.display(),
        products = products.join(" and "),
    )
}

fn ports(plan: &Plan, wanted: ShopService) -> Vec<String> {
    let instances = plan.services.iter().filter(|(service, _)| *service == wanted);
    instances.map(|(_, address)| address.port().to_string()).collect()
}

fn third_instance(plan: &Plan) -> String {
    let address = ([127, 0, 0, 1], 19100).into();
    let program = this_program();
    format!(
        "{program} sidecar --service products --app {address} --control-plane {} -- {program} {}",
        plan.control_plane_url(),
        plan.service_command(ShopService::Products, address).join(" ")
    )
}
