//! The instances that agents speak for: numbered, spread over services in turn, and what each says of itself in the three
//! ways to register.

use super::Outcome;
use super::arguments::Arguments;

/// Numbers of instances, and how many services they belong to.
#[derive(Clone, Copy)]
pub(crate) struct Instances {
    pub(crate) services: u64,
    pub(crate) first: u64,
    pub(crate) count: u64,
}

impl Instances {
    pub(crate) fn read(arguments: &Arguments) -> Outcome<Self> {
        let (services, count) = (arguments.get("services")?, arguments.get("instances")?);
        Ok(Self { services, count, first: arguments.get_or("first", 0)? })
    }

    /// The name of the service of instance `number`.
    pub(crate) fn service(&self, number: u64) -> String {
        format!("service-{}", number % self.services)
    }

    fn host(number: u64) -> String {
        format!("10.{}.{}.{}", (number >> 16) & 255, (number >> 8) & 255, number & 255)
    }

    /// Its own name, as Spring makes them.
    pub(crate) fn id(&self, number: u64) -> String {
        let (host, service) = (Self::host(number), self.service(number));
        format!("{host}:{service}:{}", 8080 + (number >> 24))
    }

    /// What a node says on its stream.
    pub(crate) fn register_line(&self, number: u64) -> String {
        let (service, id, host) = (self.service(number), self.id(number), Self::host(number));
        format!(
            r#"{{"type":"register","service":"{service}","id":"{id}","address":"{host}:8080","status":"up","lease_ms":600000,"metadata":{{"version":"1.4.2","zone":"eu-1a"}}}}"#
        )
    }

    /// A registration over HTTP.
    pub(crate) fn put(&self, number: u64) -> String {
        let (service, id, host) = (self.service(number), self.id(number), Self::host(number));
        let body = format!(
            r#"{{"address":"{host}:8080","status":"up","lease_ms":600000,"metadata":{{"version":"1.4.2","zone":"eu-1a"}}}}"#
        );
        request("PUT", &format!("/v1/services/{service}/instances/{id}"), &body)
    }

    /// A sign of life over HTTP.
    pub(crate) fn lease(&self, number: u64) -> String {
        let (service, id) = (self.service(number), self.id(number));
        request("PUT", &format!("/v1/services/{service}/instances/{id}/lease"), "")
    }

    /// What a client of Eureka posts, field for field as Spring's does.
    pub(crate) fn eureka_post(&self, number: u64) -> String {
        let (service, id, host) = (self.service(number), self.id(number), Self::host(number));
        let upper = service.to_uppercase();
        let urls = format!(
            r#""homePageUrl":"http://{host}:8080/","statusPageUrl":"http://{host}:8080/actuator/info","healthCheckUrl":"http://{host}:8080/actuator/health""#
        );
        let lease = r#""leaseInfo":{"renewalIntervalInSecs":30,"durationInSecs":600,"registrationTimestamp":0,"lastRenewalTimestamp":0,"evictionTimestamp":0,"serviceUpTimestamp":0}"#;
        let ports = r#""port":{"$":8080,"@enabled":"true"},"securePort":{"$":443,"@enabled":"false"}"#;
        let center = r#""dataCenterInfo":{"@class":"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo","name":"MyOwn"}"#;
        let names = format!(r#""vipAddress":"{service}","secureVipAddress":"{service}""#);
        let times = r#""isCoordinatingDiscoveryServer":"false","lastUpdatedTimestamp":"1700000000000","lastDirtyTimestamp":"1700000000000""#;
        let whom = format!(
            r#""instanceId":"{id}","app":"{upper}","appGroupName":null,"ipAddr":"{host}","sid":"na","hostName":"{host}""#
        );
        let rest = r#""countryId":1,"status":"UP","overriddenStatus":"UNKNOWN","metadata":{"version":"1.4.2","zone":"eu-1a","management.port":"8080"}"#;
        let body = format!(
            r#"{{"instance":{{{whom},{urls},{names},{center},{rest},{lease},{ports},{times},"actionType":null,"asgName":null}}}}"#
        );
        request("POST", &format!("/eureka/apps/{upper}"), &body)
    }

    /// A sign of life of a client of Eureka.
    pub(crate) fn eureka_put(&self, number: u64) -> String {
        let (service, id) = (self.service(number).to_uppercase(), self.id(number));
        let target = format!("/eureka/apps/{service}/{id}?status=UP&lastDirtyTimestamp=1700000000000");
        request("PUT", &target, "")
    }
}

/// A request for `target`.
pub(crate) fn get(target: &str) -> String {
    request("GET", target, "")
}

/// A whole request.
fn request(method: &str, target: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}
