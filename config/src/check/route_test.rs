//! Tests of routes: each asks something that can be asked, and expects something that can be.

use super::headers;
use crate::{Expectation, Fault, Faults, HeaderMatch, RouteTest, SampleRequest};

/// The refusals that depend on nothing but the request's head and the configuration.
const REFUSALS: [u16; 9] = [400, 401, 404, 405, 413, 414, 417, 431, 501];

/// Every fault of a list of tests. Paths start at the list.
pub(super) fn faults(tests: &[RouteTest]) -> Faults {
    let mut faults = Faults::default();
    for (index, test) in tests.iter().enumerate() {
        let place = format!("[{index}]");
        faults.add(&format!("{place}.request"), request(&test.request));
        faults.add(&format!("{place}.expect"), expectation(&test.expect));
    }
    faults
}

/// Every fault of a request to be explained. Paths start at it.
pub(super) fn request(request: &SampleRequest) -> Faults {
    let mut faults = Faults::default();
    if !headers::is_token(&request.method) {
        let fault = Fault::new("method", format!("`{}` is not a method", request.method));
        faults.push(fault.hint("write `GET`, `POST`, …"));
    }
    let rest = request.url.strip_prefix("https://").or(request.url.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    if host.is_none_or(str::is_empty) {
        let fault = Fault::new("url", "a request is named by a whole URL");
        faults.push(fault.hint("write `https://shop.example/products?page=2`"));
    } else if host.is_some_and(|host| host.contains('@')) {
        faults.push(Fault::new("url", "a URL here names no user").hint("leave out what stands before `@`"));
    } else if !request.url.bytes().all(|byte| byte.is_ascii_graphic()) {
        let fault = Fault::new("url", "a URL holds visible ASCII characters only");
        faults.push(fault.hint("percent-encode the others"));
    }
    for (name, values) in &request.headers {
        let place = format!("headers.{name}");
        faults.add(&place, headers::name(name));
        values.iter().for_each(|value| faults.add(&place, headers::value(value)));
    }
    faults
}

fn expectation(expect: &Expectation) -> Faults {
    let mut faults = Faults::default();
    if expect.is_empty() {
        let fault = Fault::new("", "this test expects nothing");
        faults.push(fault.hint("say `route`, `service`, `status`, `target` or `headers`"));
    }
    if let Some(status) = expect.status.filter(|status| !REFUSALS.contains(status)) {
        let problem = format!("the gateway itself never refuses a request by its head with {status}");
        let known = REFUSALS.map(|status| status.to_string()).join(", ");
        faults.push(Fault::new("status", problem).hint(format!("it can be {known}")));
    }
    for (name, wanted) in &expect.headers {
        let place = format!("headers.{name}");
        faults.add(&place, headers::name(name));
        if let HeaderMatch::Exact(value) = wanted {
            faults.add(&place, headers::value(value));
        }
    }
    faults
}
