//! The vocabulary of MCP.
//!
//! Every crate speaks in these types: names that are valid because they were parsed, specs as an
//! operator said them, states as they were observed, operations as durable permissions. Nothing
//! here performs I/O, knows a clock or needs a runtime; parsing text into these types is the only
//! way to make them, so past the boundary there are no raw strings for names, images or durations.

pub mod alert;
pub mod container;
pub mod event;
pub mod image;
pub mod name;
pub mod operation;
pub mod record;
pub mod spec;
pub mod state;
pub mod text;
pub mod time;

pub use alert::{Alert, AlertEvent, AlertKind, Incident, IncidentId, Scope};
pub use container::{Container, ContainerId, Exit, Instance, Labels, RuntimeState};
pub use event::{Drift, DriftKind, Event};
pub use image::ImageRef;
pub use name::{ComponentKey, ComponentName, ContainerName, NameError, NodeName, ServiceName};
pub use operation::{
    Operation, OperationId, OperationKind, OperationState, Phase, Progress, Step, StepState, Ticket,
};
pub use record::{
    ComponentRecord, Expiry, IncidentChange, KeyState, NewEvent, NodeState, ObservationChange,
    OperationRequest, Origin, Request, ServiceRecord, StandingRequest, StepOutcome, StepUpdate,
};
pub use spec::{ComponentSpec, EffectiveSpec, ServiceSpec, SpecError};
pub use state::{Condition, DesiredState, Observed, ObservedState};
pub use time::{BootId, Moment, Stamp};
