//! Previews: what a sync or a deploy would change. Changes nothing (S44).

use std::collections::BTreeMap;
use std::sync::Arc;

use mcp_controller::Handle;
use mcp_model::spec::check_container_names;
use mcp_model::{
    ComponentKey, ComponentName, ComponentRecord, ComponentSpec, DesiredState, Request as Intent,
    ServiceRecord, ServiceSpec,
};
use mcp_plan::diff;
use mcp_proto::convert::InvalidField;
use mcp_proto::convert::request;
use mcp_proto::convert::time::stamp_to_wire;
use mcp_proto::v1;
use mcp_registry::Registry;
use mcp_runtime::PodmanArgs;
use tonic::{Request, Status};

use super::deploy_preview::Preview;
use super::{Policy, answer, new_operation_id, origin};

/// What a preview needs.
pub struct Plan {
    registry: Registry,
    controller: Handle,
    policy: Arc<Policy>,
    runtime: PodmanArgs,
}

impl Plan {
    /// Previews commands as `runtime` would run them.
    pub fn new(
        registry: Registry,
        controller: Handle,
        policy: Arc<Policy>,
        runtime: PodmanArgs,
    ) -> Self {
        Self {
            registry,
            controller,
            policy,
            runtime,
        }
    }

    pub(super) async fn plan(
        &self,
        request: Request<v1::PlanRequest>,
    ) -> Result<v1::PlanResponse, Status> {
        let by = origin(&request, "Plan")?.name();
        match request.into_inner().intent {
            Some(v1::plan_request::Intent::Sync(sync)) => self.sync(sync, &by).await,
            Some(v1::plan_request::Intent::Deploy(deploy)) => self.deploy(deploy, &by).await,
            None => Err(InvalidField::new("intent", "it must be set").into()),
        }
    }

    async fn sync(
        &self,
        wire: v1::SyncDesiredStateRequest,
        by: &str,
    ) -> Result<v1::PlanResponse, Status> {
        let intent = request::sync(wire).map_err(|e| e.within("sync"))?;
        let stored = self.stored(&intent.services, None).await?;
        let services = intent.services.iter().map(|service| {
            let desired = if service.active {
                DesiredState::Running
            } else {
                DesiredState::Stopped
            };
            let wanted = Wanted { desired, by };
            compare(service, stored.get(service.name.as_str()), wanted, None)
        });
        let services: Vec<_> = services.collect();
        let mentioned = |name: &String| services.iter().any(|service| service.name == *name);
        let unmentioned = stored
            .keys()
            .filter(|name| !mentioned(name))
            .cloned()
            .collect();
        Ok(v1::PlanResponse {
            services,
            unmentioned,
        })
    }

    async fn deploy(
        &self,
        mut wire: v1::DeployRequest,
        by: &str,
    ) -> Result<v1::PlanResponse, Status> {
        if wire.operation_id.is_empty() {
            wire.operation_id = new_operation_id();
        }
        let asked = request::deploy(wire).map_err(|e| e.within("deploy"))?;
        let Intent::Deploy { service, only } = asked.request else {
            return Err(Status::internal("a deploy was read as something else"));
        };
        let stored = self
            .stored(std::slice::from_ref(&service), only.as_ref())
            .await?;
        let stored = stored.get(service.name.as_str());
        let mut plan = compare(
            &service,
            stored,
            Wanted {
                desired: DesiredState::Running,
                by,
            },
            only.as_ref(),
        );
        let view = self.controller.seen();
        let preview = Preview {
            runtime: &self.runtime,
            mounts: &self.policy.mounts,
            operation: &asked.id,
            view: &view,
        };
        for component in &mut plan.components {
            let Ok(name) = component.name.parse::<ComponentName>() else {
                continue;
            };
            let Some(spec) = service.components.get(&name) else {
                continue;
            };
            let key = ComponentKey::new(service.name.clone(), name);
            let record = find(stored, &key.component);
            component.commands = preview.commands(&key, spec, record)?;
        }
        Ok(v1::PlanResponse {
            services: vec![plan],
            unmentioned: Vec::new(),
        })
    }

    /// What is stored, by service; refuses what the call itself would refuse.
    async fn stored(
        &self,
        services: &[ServiceSpec],
        only: Option<&ComponentName>,
    ) -> Result<BTreeMap<String, ServiceRecord>, Status> {
        for service in services {
            self.policy.admit(service, only)?;
        }
        let stored = self.registry.services().await.map_err(answer::registry)?;
        let known = stored
            .iter()
            .flat_map(|service| &service.components)
            .map(|c| c.key.clone());
        let keys: Vec<ComponentKey> = known
            .chain(services.iter().flat_map(ServiceSpec::keys))
            .collect();
        check_container_names(&keys).map_err(|why| Status::invalid_argument(why.to_string()))?;
        Ok(stored
            .into_iter()
            .map(|service| (service.name.to_string(), service))
            .collect())
    }
}

fn find<'a>(
    stored: Option<&'a ServiceRecord>,
    name: &ComponentName,
) -> Option<&'a ComponentRecord> {
    stored?
        .components
        .iter()
        .find(|record| record.key.component == *name)
}

/// What a preview's caller wants, and who that is.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    desired: DesiredState,
    by: &'a str,
}

impl Wanted<'_> {
    /// Notes that `plan` would overwrite what somebody else stated (S10).
    fn warn(self, plan: &mut v1::ComponentPlan, stored: &ComponentRecord) {
        if !stored.intent_by.is_empty() && stored.intent_by != self.by {
            plan.overwrites.clone_from(&stored.intent_by);
            plan.overwrites_from = Some(stamp_to_wire(stored.intent_at.wall));
        }
    }
}

/// Compares a service as it is said with what is stored of it.
fn compare(
    said: &ServiceSpec,
    stored: Option<&ServiceRecord>,
    wanted: Wanted<'_>,
    only: Option<&ComponentName>,
) -> v1::ServicePlan {
    let meant = |name: &ComponentName| only.is_none_or(|only| only == name);
    let mut components: Vec<v1::ComponentPlan> = said
        .components
        .iter()
        .filter(|(name, _)| meant(name))
        .map(|(name, spec)| component(name, spec, wanted, find(stored, name)))
        .collect();
    let mut changed = components
        .iter()
        .any(|component| component.change != "unchanged")
        || stored.is_none_or(|stored| only.is_none() && stored.active != said.active);
    // A deploy of one component says nothing about the others.
    let gone = stored
        .iter()
        .flat_map(|service| &service.components)
        .filter(|record| only.is_none() && !said.components.contains_key(&record.key.component));
    for record in gone {
        changed |= !record.orphaned;
        let mut plan = plan_of(&record.key.component, "orphaned", Vec::new());
        if !record.orphaned {
            wanted.warn(&mut plan, record);
        }
        components.push(plan);
    }
    v1::ServicePlan {
        name: said.name.to_string(),
        changed,
        components,
    }
}

fn component(
    name: &ComponentName,
    spec: &ComponentSpec,
    wanted: Wanted<'_>,
    stored: Option<&ComponentRecord>,
) -> v1::ComponentPlan {
    let desired = wanted.desired;
    let Some(stored) = stored else {
        let image = change("image", String::new(), spec.image.to_string());
        let said = ComponentSpec::of_image(spec.image.clone());
        let said = diff::fields(&said.effective(), &spec.effective())
            .into_iter()
            .map(|field| change(&field.field, String::new(), field.after));
        let wanted = change("desired", String::new(), desired.to_string());
        return plan_of(
            name,
            "added",
            [image].into_iter().chain(said).chain([wanted]).collect(),
        );
    };
    let mut fields: Vec<v1::FieldChange> =
        diff::fields(&stored.spec.effective(), &spec.effective())
            .into_iter()
            .map(|field| change(&field.field, field.before, field.after))
            .collect();
    let timeout = |duration| humantime::format_duration(duration).to_string();
    for (field, before, after) in [
        (
            "stop_timeout",
            stored.spec.stop_timeout(),
            spec.stop_timeout(),
        ),
        (
            "pull_timeout",
            stored.spec.pull_timeout(),
            spec.pull_timeout(),
        ),
    ] {
        if before != after {
            fields.push(change(field, timeout(before), timeout(after)));
        }
    }
    if stored.desired != desired {
        fields.push(change(
            "desired",
            stored.desired.to_string(),
            desired.to_string(),
        ));
    }
    let stated = stored.spec != *spec || stored.desired != desired;
    let same = fields.is_empty() && !stated && !stored.orphaned;
    let mut plan = plan_of(name, if same { "unchanged" } else { "changed" }, fields);
    if stated {
        wanted.warn(&mut plan, stored);
    }
    plan
}

fn change(field: &str, before: String, after: String) -> v1::FieldChange {
    v1::FieldChange {
        field: field.to_owned(),
        before,
        after,
    }
}

fn plan_of(name: &ComponentName, change: &str, fields: Vec<v1::FieldChange>) -> v1::ComponentPlan {
    v1::ComponentPlan {
        name: name.to_string(),
        change: change.to_owned(),
        fields,
        commands: Vec::new(),
        overwrites: String::new(),
        overwrites_from: None,
    }
}
