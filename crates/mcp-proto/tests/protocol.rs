//! What is documented of the protocol stays as it is (S43).

use std::collections::BTreeMap;

use mcp_proto::descriptor::{Method, file_descriptor_set, methods};
use prost_types::field_descriptor_proto::{Label, Type};

/// The documented RPCs, by the names that lint rules give them and their messages.
const METHODS: [&str; 12] = [
    "Deploy",
    "StopService",
    "StartService",
    "RestartService",
    "SyncDesiredState",
    "ListServices",
    "GetServiceStatus",
    "LiveCheck",
    "AdoptContainers",
    "PushFile",
    "PullFile",
    "NodeStatus",
];

/// The documented messages, and under each its fields: name, number, type. `*` marks a repeated one.
const DOCUMENTED: &str = "
ComponentSpec
    name 1 string
    image 2 string
    network 3 string
    user 4 string
    restart 5 string
    ports 6 string*
    volumes 7 string*
    cmd 8 string*
    routes 9 RouteSpec*
    env 10 string*
RouteSpec
    name 1 string
    port 2 uint32
    mode 3 string
    hostname 4 string
    public 5 bool
ServiceSpec
    name 1 string
    active 2 bool
    components 3 ComponentSpec*
DeployRequest
    service 1 ServiceSpec
    component 2 string
DeployResponse
    results 1 ComponentResult*
ComponentResult
    name 1 string
    success 2 bool
    error 3 string
StopServiceRequest
    name 1 string
StopServiceResponse
    results 1 ComponentResult*
StartServiceRequest
    name 1 string
StartServiceResponse
    results 1 ComponentResult*
RestartServiceRequest
    name 1 string
RestartServiceResponse
    results 1 ComponentResult*
SyncDesiredStateRequest
    services 1 ServiceSpec*
SyncDesiredStateResponse
    results 1 ServiceSyncResult*
ServiceSyncResult
    name 1 string
    changed 2 bool
    summary 3 string
ListServicesRequest
ListServicesResponse
    services 1 ServiceInfo*
ServiceInfo
    name 1 string
    active 2 bool
    components 3 ComponentInfo*
ComponentInfo
    name 1 string
    image 2 string
    desired_state 3 string
    observed_state 4 string
    version 5 string
    started 6 Timestamp
    spec 7 ComponentSpec
GetServiceStatusRequest
    name 1 string
GetServiceStatusResponse
    services 1 ServiceInfo*
    drift 2 DriftInfo*
    recent_events 3 EventInfo*
DriftInfo
    service 1 string
    component 2 string
    desired_state 3 string
    observed_state 4 string
EventInfo
    service 1 string
    component 2 string
    prev_state 3 string
    new_state 4 string
    timestamp 5 Timestamp
LiveCheckRequest
LiveCheckResponse
    services 1 ServiceInfo*
AdoptContainersRequest
    service 1 string
AdoptContainersResponse
    results 1 AdoptResult*
AdoptResult
    container 1 string
    component 2 string
    success 3 bool
    error 4 string
PushFileRequest
    service 1 string
    path 2 string
    content 3 bytes
    mode 4 uint32
PushFileResponse
    success 1 bool
    error 2 string
PullFileRequest
    service 1 string
    path 2 string
PullFileResponse
    content 1 bytes
    mode 2 uint32
    error 3 string
NodeStatusRequest
NodeStatusResponse
    node_name 1 string
    runtime 2 string
    runtime_version 3 string
    service_count 4 uint32
    component_count 5 uint32
    disk_total_bytes 6 uint64
    disk_free_bytes 7 uint64
    memory_total_bytes 8 uint64
    memory_free_bytes 9 uint64
    cpu_usage_percent 10 double
    uptime_since 11 Timestamp
";

fn type_of(field: &prost_types::FieldDescriptorProto) -> String {
    let mut name = match field.r#type() {
        Type::String => "string".to_owned(),
        Type::Bytes => "bytes".to_owned(),
        Type::Bool => "bool".to_owned(),
        Type::Uint32 => "uint32".to_owned(),
        Type::Uint64 => "uint64".to_owned(),
        Type::Double => "double".to_owned(),
        Type::Message => field.type_name().rsplit('.').next().unwrap().to_owned(),
        other => format!("{other:?}"),
    };
    if field.label() == Label::Repeated {
        name.push('*');
    }
    name
}

#[test]
fn documented_fields_keep_their_number_and_type() {
    let set = file_descriptor_set();
    let messages: BTreeMap<&str, &prost_types::DescriptorProto> = set
        .file
        .iter()
        .filter(|file| file.package() == "mcp.v1")
        .flat_map(|file| &file.message_type)
        .map(|message| (message.name(), message))
        .collect();
    let mut message = None;
    for line in DOCUMENTED.lines().filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [field, number, kind] = words[..] else {
            message = messages.get(line);
            assert!(message.is_some(), "{line} is gone");
            continue;
        };
        let message = message.unwrap();
        let name = format!("{}.{field}", message.name());
        let found = message.field.iter().find(|f| f.name() == field);
        let found = found.unwrap_or_else(|| panic!("{name} is gone"));
        assert_eq!(found.number().to_string(), number, "{name}");
        assert_eq!(type_of(found), kind, "{name}");
        assert!(
            found.oneof_index.is_none(),
            "{name} has a presence of its own"
        );
    }
}

#[test]
fn documented_rpcs_are_found_under_their_path() {
    let methods = methods();
    for name in METHODS {
        let method = methods
            .iter()
            .find(|method| method.name == name)
            .unwrap_or_else(|| panic!("{name} is gone"));
        assert_eq!(method.path(), format!("/mcp.v1.McpAgentService/{name}"));
        assert!(
            !method.client_streaming && !method.server_streaming,
            "{name}"
        );
    }
}

#[test]
fn each_rpc_is_listed_once_and_only_what_follows_streams() {
    let methods = methods();
    let mut paths: Vec<String> = methods.iter().map(Method::path).collect();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), methods.len());
    assert!(
        methods
            .iter()
            .all(|m| m.service == "mcp.v1.McpAgentService")
    );
    assert!(methods.iter().all(|m| !m.client_streaming));
    let streams: Vec<&str> = methods
        .iter()
        .filter(|m| m.server_streaming)
        .map(|m| m.name.as_str())
        .collect();
    assert_eq!(streams, ["Watch", "Logs"]);
}
