//! A group of writes before it is stored: each is checked against what the ones before it would leave behind.
//! If the store fails, the draft is dropped and nothing has happened.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use portreeve_config::wire::{InstanceStatus, Revision};
use portreeve_config::{Fault, RouteConfig, check};

use super::admission;
use super::command::{Command, Precondition, Refusal};
use super::model::{Catalog, InstanceChanges, Model};
use crate::history::{Author, Entry};
use crate::registry::{Amendment, Holder, InstanceKey, Registered};
use crate::store::{LayerKey, Record, Values};

/// The state as it will be.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) revision: Revision,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) instances: InstanceChanges,
    /// Who registered what within this group; the leases do not know it yet.
    holders: HashMap<InstanceKey, Option<Holder>>,
}

/// What a draft looks at and does not change.
pub(crate) struct Ground<'a> {
    pub(crate) model: &'a Model,
    /// Who holds an instance over a live stream.
    pub(crate) holder: &'a dyn Fn(&InstanceKey) -> Option<Holder>,
    /// Whether an instance's lease is over.
    pub(crate) is_over: &'a dyn Fn(&InstanceKey) -> bool,
    /// Milliseconds since 1970.
    pub(crate) now: u64,
}

impl Draft {
    pub(crate) fn of(model: &Model) -> Self {
        Self {
            revision: model.revision,
            catalog: model.catalog.clone(),
            instances: InstanceChanges::new(),
            holders: HashMap::new(),
        }
    }

    /// Checks `command` and puts it on top; gives what changed, and what history keeps of it. Nothing, where all was
    /// so already: then there is no new revision.
    pub(crate) fn carry_out(
        &mut self,
        command: Command,
        author: &Author,
        ground: &Ground<'_>,
    ) -> Result<(Vec<Record>, Option<Arc<Entry>>), Refusal> {
        let is_kept = command.is_kept();
        let records = self.records(command, ground)?;
        let (records, entry) = if is_kept { self.keep(records, author) } else { (records, None) };
        self.put(&records);
        Ok((records, entry))
    }

    /// Adds to `records` what history keeps of them.
    pub(super) fn keep(
        &self,
        mut records: Vec<Record>,
        author: &Author,
    ) -> (Vec<Record>, Option<Arc<Entry>>) {
        let Some(entry) = Entry::of(&self.catalog, &records, self.revision, author) else {
            return (records, None);
        };
        let entry = Arc::new(entry);
        records.extend(self.catalog.history.records(self.revision + 1, entry.clone()));
        (records, Some(entry))
    }

    fn records(&mut self, command: Command, ground: &Ground<'_>) -> Result<Vec<Record>, Refusal> {
        match command {
            Command::CreateRoute(route) => self.create_route(*route),
            Command::PutRoute(route, precondition) => self.put_route(*route, &precondition),
            Command::ReplaceRoutes(routes, precondition) => self.replace_routes(routes, &precondition),
            Command::RemoveRoute(name, precondition) => self.remove_route(name, &precondition),
            Command::DeclareService(name) => self.declare_service(name),
            Command::RemoveService(name) => self.remove_service(name, ground),
            Command::Register(instance, holder) => self.register(instance.into(), holder, false, ground),
            Command::RegisterClient { instance, replicated } => {
                self.register(*instance, None, replicated, ground)
            }
            Command::Amend(key, amendment) => self.amend(key, amendment, ground),
            Command::SetStatus(key, status) => self.set_status(key, status, ground),
            Command::Deregister(key, asking) => self.deregister(key, asking.as_ref(), ground),
            Command::Expire(keys) => Ok(self.expire(keys, ground)),
            Command::PutLayer(key, values, precondition) => self.put_layer(key, values, &precondition),
            Command::PatchLayer(key, patch, precondition) => self.patch_layer(key, patch, &precondition),
            Command::RemoveLayer(key, precondition) => self.remove_layer(key, &precondition),
            Command::Apply(state, precondition) => self.apply(*state, &precondition, ground),
            Command::Rollback(revision, precondition) => self.roll_back(revision, &precondition, ground),
        }
    }

    /// Makes `records` the next revision.
    pub(crate) fn put(&mut self, records: &[Record]) {
        if records.is_empty() {
            return;
        }
        self.revision += 1;
        for record in records {
            if let Record::Instance { key, value } = record {
                self.instances.insert(key.clone(), value.clone());
            } else {
                // Copies the catalogue once a group, and only for a group that changes it.
                Arc::make_mut(&mut self.catalog).apply(record, self.revision);
            }
        }
    }

    fn create_route(&self, route: RouteConfig) -> Result<Vec<Record>, Refusal> {
        if self.catalog.routes.contains_key(&route.name) {
            return Err(Refusal::Duplicate(route.name));
        }
        self.put_route(route, &Precondition::None)
    }

    fn put_route(&self, route: RouteConfig, precondition: &Precondition) -> Result<Vec<Record>, Refusal> {
        let current = self.catalog.routes.get(&route.name);
        precondition.check(current.map(|route| route.revision))?;
        check::route(&route, Some(&self.catalog.services)).into_result(()).map_err(Refusal::Invalid)?;
        if current.is_some_and(|current| *current.value == route) {
            return Ok(Vec::new());
        }
        Ok(vec![Record::Route { name: route.name.clone(), value: Some(Arc::new(route)) }])
    }

    fn replace_routes(
        &self,
        routes: Vec<RouteConfig>,
        precondition: &Precondition,
    ) -> Result<Vec<Record>, Refusal> {
        precondition.check(Some(self.catalog.routes_revision))?;
        check::routes(&routes, Some(&self.catalog.services)).into_result(()).map_err(Refusal::Invalid)?;
        let removed = self.catalog.routes.keys().filter(|name| routes.iter().all(|r| r.name != **name));
        let mut records: Vec<_> =
            removed.map(|name| Record::Route { name: name.clone(), value: None }).collect();
        for route in routes {
            if self.catalog.routes.get(&route.name).is_none_or(|current| *current.value != route) {
                records.push(Record::Route { name: route.name.clone(), value: Some(Arc::new(route)) });
            }
        }
        Ok(records)
    }

    fn remove_route(&self, name: String, precondition: &Precondition) -> Result<Vec<Record>, Refusal> {
        let current = self.catalog.routes.get(&name).ok_or(Refusal::Unknown("route"))?;
        precondition.check(Some(current.revision))?;
        Ok(vec![Record::Route { name, value: None }])
    }

    fn declare_service(&self, name: String) -> Result<Vec<Record>, Refusal> {
        if let Some(fault) = check::service_name(&name) {
            return Err(Refusal::Invalid(fault.under("service").into()));
        }
        let known = self.catalog.services.contains(&name);
        Ok(if known { Vec::new() } else { vec![Record::Service { name, known: true }] })
    }

    fn remove_service(&self, name: String, ground: &Ground<'_>) -> Result<Vec<Record>, Refusal> {
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

    pub(super) fn has_instances(&self, service: &str, ground: &Ground<'_>) -> bool {
        let stored = ground.model.registry.of_service(service).map(|instance| instance.key());
        let drafted = self.instances.keys().filter(|key| *key.service == *service).cloned();
        stored.chain(drafted).any(|key| self.instance(&key, ground).is_some())
    }

    fn register(
        &mut self,
        mut instance: Registered,
        holder: Option<Holder>,
        replicated: bool,
        ground: &Ground<'_>,
    ) -> Result<Vec<Record>, Refusal> {
        check::instance(&instance.to_wire()).into_result(()).map_err(Refusal::Invalid)?;
        self.check_application(&instance, ground)?;
        ground.model.registry.share(&mut instance);
        let key = instance.key();
        let current = self.instance(&key, ground);
        if let Some(current) = &current {
            self.check_held(&key, current, &instance, holder.as_ref(), ground)?;
        }
        let mut records = Vec::new();
        if !self.catalog.services.contains(&*key.service) {
            records.push(Record::Service { name: key.service.to_string(), known: true });
        }
        let instance = instance.succeed(current.as_deref(), replicated, ground.now);
        if current.is_none_or(|current| !current.agrees_with(&instance)) {
            records.push(Record::Instance { key: key.clone(), value: Some(Arc::new(instance)) });
        }
        self.holders.insert(key, holder);
        Ok(records)
    }

    /// Two applications of Eureka whose names make one service: the second is refused, or requests for one would go
    /// to the other.
    fn check_application(&self, instance: &Registered, ground: &Ground<'_>) -> Result<(), Refusal> {
        let Some(details) = &instance.eureka else { return Ok(()) };
        let drafted = self.instances.values().flatten().filter(|other| other.service == instance.service);
        let mut siblings = ground.model.registry.of_service(&instance.service).chain(drafted);
        let other = siblings.find_map(|sibling| Some(&sibling.eureka.as_ref()?.application.name));
        match other.filter(|other| **other != details.application.name) {
            Some(other) => {
                let problem =
                    format!("the service `{}` is the application {other} already", instance.service);
                Err(Refusal::Invalid(Fault::new("app", problem).into()))
            }
            None => Ok(()),
        }
    }

    /// Two hosts with one id: the second is refused, or requests would go to either by chance. The same node,
    /// or the same address, is the same instance come back.
    fn check_held(
        &self,
        key: &InstanceKey,
        current: &Registered,
        instance: &Registered,
        holder: Option<&Holder>,
        ground: &Ground<'_>,
    ) -> Result<(), Refusal> {
        match self.holder(key, ground) {
            Some(other)
                if current.address != instance.address
                    && holder.is_none_or(|holder| holder.node != other.node) =>
            {
                Err(Refusal::Held { node: other.node.to_string(), address: current.address.get() })
            }
            _ => Ok(()),
        }
    }

    fn set_status(
        &self,
        key: InstanceKey,
        status: InstanceStatus,
        ground: &Ground<'_>,
    ) -> Result<Vec<Record>, Refusal> {
        let current = self.instance(&key, ground).ok_or(Refusal::Unknown("instance"))?;
        if current.status == status {
            return Ok(Vec::new());
        }
        let mut changed = Registered { status, amended: true, updated_at: ground.now, ..(*current).clone() };
        changed.set_eureka_status(changed.eureka_status(), ground.now);
        Ok(vec![Record::Instance { key, value: Some(Arc::new(changed)) }])
    }

    fn amend(
        &self,
        key: InstanceKey,
        amendment: Amendment,
        ground: &Ground<'_>,
    ) -> Result<Vec<Record>, Refusal> {
        let current = self.instance(&key, ground).ok_or(Refusal::Unknown("instance"))?;
        let Some(amended) = current.amend(amendment, ground.now) else { return Ok(Vec::new()) };
        check::instance(&amended.to_wire()).into_result(()).map_err(Refusal::Invalid)?;
        Ok(vec![Record::Instance { key, value: Some(Arc::new(amended)) }])
    }

    fn deregister(
        &mut self,
        key: InstanceKey,
        asking: Option<&Holder>,
        ground: &Ground<'_>,
    ) -> Result<Vec<Record>, Refusal> {
        if let (Some(asking), Some(current)) = (asking, self.instance(&key, ground))
            && let Some(other) = self.holder(&key, ground).filter(|holder| holder.node != asking.node)
        {
            return Err(Refusal::Held { node: other.node.to_string(), address: current.address.get() });
        }
        let records = self.remove_instance(key, ground);
        match asking {
            None if records.is_empty() => Err(Refusal::Unknown("instance")),
            _ => Ok(records),
        }
    }

    /// What was registered anew within this group has a lease that is not granted yet.
    fn expire(&mut self, keys: Vec<InstanceKey>, ground: &Ground<'_>) -> Vec<Record> {
        let keys = keys.into_iter().filter(|key| (ground.is_over)(key));
        let over: Vec<_> = keys.filter(|key| !self.holders.contains_key(key)).collect();
        over.into_iter().flat_map(|key| self.remove_instance(key, ground)).collect()
    }

    fn remove_instance(&mut self, key: InstanceKey, ground: &Ground<'_>) -> Vec<Record> {
        if self.instance(&key, ground).is_none() {
            return Vec::new();
        }
        self.holders.insert(key.clone(), None);
        vec![Record::Instance { key, value: None }]
    }

    fn holder(&self, key: &InstanceKey, ground: &Ground<'_>) -> Option<Holder> {
        match self.holders.get(key) {
            Some(holder) => holder.clone(),
            None => (ground.holder)(key),
        }
    }

    fn instance(&self, key: &InstanceKey, ground: &Ground<'_>) -> Option<Arc<Registered>> {
        match self.instances.get(key) {
            Some(drafted) => drafted.clone(),
            None => ground.model.registry.get(key).cloned(),
        }
    }

    fn check_layer(&self, key: &LayerKey, precondition: &Precondition) -> Result<(), Refusal> {
        precondition.check(self.catalog.layers.get(key).map(|layer| layer.revision))
    }

    fn put_layer(
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

    fn patch_layer(
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

    fn remove_layer(&self, key: LayerKey, precondition: &Precondition) -> Result<Vec<Record>, Refusal> {
        self.check_layer(&key, precondition)?;
        match self.catalog.layers.contains_key(&key) {
            true => Ok(vec![Record::Layer { key, value: None }]),
            false => Err(Refusal::Unknown("configuration layer")),
        }
    }
}
