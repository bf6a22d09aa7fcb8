//! Instances in a draft: who may register, change and take out which.

use std::sync::Arc;

use portreeve_config::Fault;
use portreeve_config::wire::InstanceStatus;

use super::{Draft, Ground};
use crate::registry::{Amendment, Holder, InstanceKey, Registered};
use crate::state::command::Refusal;
use crate::store::Record;

impl Draft {
    pub(super) fn register(
        &mut self,
        mut instance: Registered,
        holder: Option<Holder>,
        replicated: bool,
        ground: &Ground<'_>,
    ) -> Result<Vec<Record>, Refusal> {
        instance.faults().into_result(()).map_err(Refusal::Invalid)?;
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

    pub(super) fn set_status(
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

    pub(super) fn amend(
        &self,
        key: InstanceKey,
        amendment: Amendment,
        ground: &Ground<'_>,
    ) -> Result<Vec<Record>, Refusal> {
        let current = self.instance(&key, ground).ok_or(Refusal::Unknown("instance"))?;
        let Some(amended) = current.amend(amendment, ground.now) else { return Ok(Vec::new()) };
        amended.faults().into_result(()).map_err(Refusal::Invalid)?;
        Ok(vec![Record::Instance { key, value: Some(Arc::new(amended)) }])
    }

    pub(super) fn deregister(
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
    pub(super) fn expire(&mut self, keys: Vec<InstanceKey>, ground: &Ground<'_>) -> Vec<Record> {
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

    pub(super) fn instance(&self, key: &InstanceKey, ground: &Ground<'_>) -> Option<Arc<Registered>> {
        match self.instances.get(key) {
            Some(drafted) => drafted.clone(),
            None => ground.model.registry.get(key).cloned(),
        }
    }
}
