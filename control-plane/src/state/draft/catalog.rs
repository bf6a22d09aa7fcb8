//! Routes, services and configuration layers in a draft: what may become of each, and the records of it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use portreeve_config::{RouteConfig, check};

use super::{Draft, Ground};
use crate::state::admission;
use crate::state::command::{Precondition, Refusal};
use crate::store::{LayerKey, Record, Values};

impl Draft {
    pub(super) fn create_route(&self, route: RouteConfig) -> Result<Vec<Record>, Refusal> {
        if self.catalog.routes.contains_key(&route.name) {
            return Err(Refusal::Duplicate(route.name));
        }
        self.put_route(route, &Precondition::None)
    }

    pub(super) fn put_route(
        &self,
        route: RouteConfig,
        precondition: &Precondition,
    ) -> Result<Vec<Record>, Refusal> {
        let current = self.catalog.routes.get(&route.name);
        precondition.check(current.map(|route| route.revision))?;
        check::route(&route, Some(&self.catalog.services)).into_result(()).map_err(Refusal::Invalid)?;
        if current.is_some_and(|current| *current.value == route) {
            return Ok(Vec::new());
        }
        Ok(vec![Record::Route { name: route.name.clone(), value: Some(Arc::new(route)) }])
    }

    pub(super) fn replace_routes(
        &self,
        routes: Vec<RouteConfig>,
        precondition: &Precondition,
    ) -> Result<Vec<Record>, Refusal> {
        precondition.check(Some(self.catalog.routes_revision))?;
        check::routes(&routes, Some(&self.catalog.services)).into_result(()).map_err(Refusal::Invalid)?;
        let kept: HashSet<_> = routes.iter().map(|route| &*route.name).collect();
        let removed = self.catalog.routes.keys().filter(|name| !kept.contains(name.as_str()));
        let mut records: Vec<_> =
            removed.map(|name| Record::Route { name: name.clone(), value: None }).collect();
        for route in routes {
            if self.catalog.routes.get(&route.name).is_none_or(|current| *current.value != route) {
                records.push(Record::Route { name: route.name.clone(), value: Some(Arc::new(route)) });
            }
        }
        Ok(records)
    }

    pub(super) fn remove_route(
        &self,
        name: String,
        precondition: &Precondition,
    ) -> Result<Vec<Record>, Refusal> {
        let current = self.catalog.routes.get(&name).ok_or(Refusal::Unknown("route"))?;
        precondition.check(Some(current.revision))?;
        Ok(vec![Record::Route { name, value: None }])
    }

    pub(super) fn declare_service(&self, name: String) -> Result<Vec<Record>, Refusal> {
        if let Some(fault) = check::service_name(&name) {
            return Err(Refusal::Invalid(fault.under("service").into()));
        }
        let known = self.catalog.services.contains(&name);
        Ok(if known { Vec::new() } else { vec![Record::Service { name, known: true }] })
    }

    pub(super) fn remove_service(&self, name: String, ground: &Ground<'_>) -> Result<Vec<Record>, Refusal> {
        if !self.catalog.services.contains(&name) {
            return Err(Refusal::Unknown("service"));
        }
        let routes = self.catalog.routes.values().filter(|route| route.value.service == name);
        let routes: Vec<_> = routes.map(|route| format!("`{}`", route.value.name)).collect();
        if !routes.is_empty() {
            let routes = routes.join(", ");
            return Err(Refusal::InUse(format!(
                "routes point to this service ({routes}); remove them first"
            )));
        }
        if self.has_instances(&name, ground) {
            let why = "instances of this service are registered; stop or deregister them first";
            return Err(Refusal::InUse(why.to_owned()));
        }
        Ok(vec![Record::Service { name, known: false }])
    }

    pub(in crate::state) fn has_instances(&self, service: &str, ground: &Ground<'_>) -> bool {
        let stored = ground.model.registry.of_service(service).map(|instance| instance.key());
        let drafted = self.instances.keys().filter(|key| *key.service == *service).cloned();
        stored.chain(drafted).any(|key| self.instance(&key, ground).is_some())
    }

    fn check_layer(&self, key: &LayerKey, precondition: &Precondition) -> Result<(), Refusal> {
        precondition.check(self.catalog.layers.get(key).map(|layer| layer.revision))
    }

    pub(super) fn put_layer(
        &self,
        key: LayerKey,
        values: Values,
        precondition: &Precondition,
    ) -> Result<Vec<Record>, Refusal> {
        self.check_layer(&key, precondition)?;
        admission::layer(&key, &values).into_result(()).map_err(Refusal::Invalid)?;
        if self.catalog.layers.get(&key).is_some_and(|layer| *layer.value == values) {
            return Ok(Vec::new());
        }
        Ok(vec![Record::Layer { key, value: Some(Arc::new(values)) }])
    }

    pub(super) fn patch_layer(
        &self,
        key: LayerKey,
        patch: BTreeMap<String, Option<String>>,
        precondition: &Precondition,
    ) -> Result<Vec<Record>, Refusal> {
        let current = self.catalog.layers.get(&key);
        let mut values = current.map_or_else(Values::new, |layer| Values::clone(&layer.value));
        for (name, value) in patch {
            match value {
                Some(value) => values.insert(name, value),
                None => values.remove(&name),
            };
        }
        self.put_layer(key, values, precondition)
    }

    pub(super) fn remove_layer(
        &self,
        key: LayerKey,
        precondition: &Precondition,
    ) -> Result<Vec<Record>, Refusal> {
        self.check_layer(&key, precondition)?;
        match self.catalog.layers.contains_key(&key) {
            true => Ok(vec![Record::Layer { key, value: None }]),
            false => Err(Refusal::Unknown("configuration layer")),
        }
    }
}
