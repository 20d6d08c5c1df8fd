//! Flows of the management API's client: what operators' tools do, verb by verb.

use std::env;
use std::time::Duration;

use lapin::options::*;
use lapin::types::FieldTable;
use rabbitmq_http_client::api::Client;
use rabbitmq_http_client::commons::{
    BindingDestinationType, ExchangeType, MessageTransferAcknowledgementMode, PaginationParams,
    PolicyTarget, QueueType, SupportedProtocol, UserLimitTarget, VirtualHostLimitTarget,
};
use rabbitmq_http_client::password_hashing;
use rabbitmq_http_client::requests::{
    Amqp091ShovelDestinationParams, Amqp091ShovelParams, Amqp091ShovelSourceParams,
    BindingDeletionParams, EnforcedLimitParams, ExchangeParams, FederationUpstreamParams,
    GlobalRuntimeParameterDefinition, Permissions, PolicyParams, QueueFederationParams,
    QueueParams, RuntimeParameterDefinition, TopicPermissions, UserParams, VirtualHostParams,
};
use serde_json::{Map, Value, json};

use crate::harness::{Body, Flow, Result, check, equal, flows, within};

type Api = Client<String, &'static str, &'static str>;

/// Empty unless the management API is there.
pub fn all() -> &'static [(&'static str, Body)] {
    if env::var_os("MANAGEMENT_URL").is_some() { FLOWS } else { &[] }
}

const FLOWS: &[(&str, Body)] =
    flows![http_access, http_topology, http_rules, http_watching, http_checks, http_definitions];

fn api() -> Result<Api> {
    Ok(Client::new(format!("{}/api", env::var("MANAGEMENT_URL")?), "guest", "guest"))
}

fn fields(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// A vhost of a flow's own, gone when it ends well.
async fn vhost(api: &Api, flow: &Flow) -> Result<String> {
    let name = flow.unique("a/b");
    api.create_vhost(&VirtualHostParams::named(&name)).await?;
    api.grant_full_permissions("guest", &name).await?;
    Ok(name)
}

/// Vhosts, users, permissions, limits: made, listed, changed, gone.
async fn http_access(flow: &Flow) -> Result {
    let (api, name, user) = (api()?, flow.unique("v"), flow.unique("user"));
    let params = VirtualHostParams {
        name: &name,
        description: Some("what for"),
        tags: Some(vec!["a", "b"]),
        default_queue_type: Some(QueueType::Quorum),
        tracing: false,
    };
    api.create_vhost(&params).await?;
    let found = api.get_vhost(&name).await?;
    equal(found.description.as_deref(), Some("what for"), "description")?;
    equal(found.default_queue_type.as_deref(), Some("quorum"), "default queue type")?;
    api.update_vhost(&VirtualHostParams { description: Some("more"), ..params }).await?;
    equal(api.get_vhost(&name).await?.description.as_deref(), Some("more"), "description")?;
    let salt = password_hashing::salt();
    let hash = password_hashing::base64_encoded_salted_password_hash_sha256(&salt, "secret");
    api.create_user(&UserParams::new(&user, &hash, "management")).await?;
    let alone = api.list_users_without_permissions().await?;
    check(alone.iter().any(|one| one.name == user), "a user without permissions is not listed")?;
    let permissions =
        Permissions { user: &user, vhost: &name, configure: "", read: ".*", write: "^w" };
    api.declare_permissions(&permissions).await?;
    equal(api.get_permissions(&name, &user).await?.write.as_str(), "^w", "permission to write")?;
    equal(api.list_permissions_of(&user).await?.len(), 1, "permissions of the user")?;
    let topic = TopicPermissions {
        user: &user,
        vhost: &name,
        exchange: "amq.topic",
        write: "^a",
        read: ".*",
    };
    api.declare_topic_permissions(&topic).await?;
    equal(api.list_topic_permissions_in(&name).await?.len(), 1, "topic permissions")?;
    api.clear_topic_permissions(&name, &user, false).await?;
    api.set_user_limit(&user, EnforcedLimitParams::new(UserLimitTarget::MaxChannels, 7)).await?;
    equal(api.list_user_limits(&user).await?.len(), 1, "limits of the user")?;
    api.clear_user_limit(&user, UserLimitTarget::MaxChannels).await?;
    let most = EnforcedLimitParams::new(VirtualHostLimitTarget::MaxQueues, 5);
    api.set_vhost_limit(&name, most).await?;
    equal(api.list_vhost_limits(&name).await?.len(), 1, "limits of the vhost")?;
    api.clear_vhost_limit(&name, VirtualHostLimitTarget::MaxQueues).await?;
    api.clear_permissions(&name, &user, false).await?;
    api.delete_users(vec![&user]).await?;
    check(api.get_user(&user).await.is_err(), "the user is still there")?;
    api.enable_vhost_deletion_protection(&name).await?;
    check(api.delete_vhost(&name, false).await.is_err(), "a protected vhost was deleted")?;
    api.disable_vhost_deletion_protection(&name).await?;
    Ok(api.delete_vhost(&name, false).await?)
}

/// Exchanges, queues, bindings and messages.
async fn http_topology(flow: &Flow) -> Result {
    let api = api()?;
    let name = vhost(&api, flow).await?;
    let v = name.as_str();
    let arguments = Some(fields(json!({"x-max-length": 10})));
    api.declare_queue(v, &QueueParams::new_durable_classic_queue("q", arguments)).await?;
    api.declare_quorum_queue(v, "quorum").await?;
    api.declare_exchange(v, &ExchangeParams::durable("x", ExchangeType::Topic, None)).await?;
    api.declare_exchange(v, &ExchangeParams::durable("y", ExchangeType::Fanout, None)).await?;
    api.bind_queue(v, "q", "x", Some("a.#"), Some(fields(json!({"k": 1})))).await?;
    api.bind_exchange(v, "x", "y", None, None).await?;
    equal(api.get_exchange_info(v, "x").await?.durable, true, "durable")?;
    equal(api.list_exchange_bindings_with_source(v, "y").await?.len(), 1, "bindings from y")?;
    equal(api.list_exchange_bindings_with_destination(v, "x").await?.len(), 1, "bindings to x")?;
    equal(api.list_queue_bindings(v, "q").await?.len(), 2, "bindings of q, one of them implicit")?;
    let page = PaginationParams::first_page(1);
    equal(api.list_queues_in_paged(v, &page).await?.len(), 1, "a page of one queue")?;
    equal(api.list_quorum_queues_in(v).await?.len(), 1, "quorum queues")?;
    let properties = fields(json!({"message_id": "m", "headers": {"h": [1, "two"]}}));
    let routed = api.publish_message(v, "x", "a.b", "hello", properties).await?;
    check(routed.routed, "the message was not routed")?;
    check(!api.publish_message(v, "x", "b", "lost", Map::new()).await?.routed, "it was routed")?;
    let got = api.get_messages(v, "q", 5, "ack_requeue_true").await?;
    equal(got.len(), 1, "messages")?;
    equal(got[0].payload.as_str(), "hello", "payload")?;
    equal(&got[0].properties.0["headers"], &json!({"h": [1, "two"]}), "headers")?;
    equal(api.get_queue_info(v, "q").await?.message_count, 1, "messages in the queue")?;
    api.purge_queue(v, "q").await?;
    equal(api.get_messages(v, "q", 5, "ack_requeue_false").await?.len(), 0, "messages left")?;
    let binding = BindingDeletionParams {
        virtual_host: v,
        source: "x",
        destination: "q",
        destination_type: BindingDestinationType::Queue,
        routing_key: "a.#",
        arguments: Some(fields(json!({"k": 1}))),
    };
    api.delete_binding(&binding, false).await?;
    equal(api.list_queue_bindings(v, "q").await?.len(), 1, "bindings of q")?;
    api.delete_queues(v, &["q", "quorum"], false).await?;
    api.delete_exchanges(v, &["x", "y"], false).await?;
    check(api.delete_queue(v, "q", false).await.is_err(), "a queue was deleted twice")?;
    api.delete_queue(v, "q", true).await?;
    Ok(api.delete_vhost(v, false).await?)
}

/// Policies and parameters; a component that nobody knows is refused.
async fn http_rules(flow: &Flow) -> Result {
    let api = api()?;
    let name = vhost(&api, flow).await?;
    let v = name.as_str();
    let policy = PolicyParams {
        vhost: v,
        name: "p",
        pattern: "^q",
        apply_to: PolicyTarget::Queues,
        priority: 3,
        definition: fields(json!({"max-length": 5})),
    };
    api.declare_policy(&policy).await?;
    api.declare_operator_policy(&policy).await?;
    equal(api.get_policy(v, "p").await?.priority, 3, "priority")?;
    equal(api.list_operator_policies_in(v).await?.len(), 1, "operator policies")?;
    api.delete_policies_in(v, vec!["p"]).await?;
    api.delete_operator_policies_in(v, vec!["p"]).await?;
    let wanted = QueueFederationParams::new("q");
    let uri = "amqp://elsewhere";
    let upstream = FederationUpstreamParams::new_queue_federation_upstream(v, "u", uri, wanted);
    api.declare_federation_upstream(upstream).await?;
    equal(api.get_federation_upstream(v, "u").await?.uri.as_str(), uri, "the upstream's URI")?;
    api.delete_federation_upstream(v, "u", false).await?;
    api.declare_amqp091_shovel(Amqp091ShovelParams {
        vhost: v,
        name: "s",
        acknowledgement_mode: MessageTransferAcknowledgementMode::WhenConfirmed,
        reconnect_delay: Some(5),
        source: Amqp091ShovelSourceParams::queue_source(uri, "q"),
        destination: Amqp091ShovelDestinationParams::queue_destination(uri, "r"),
    })
    .await?;
    let kept = api.list_runtime_parameters_of_component_in("shovel", v).await?;
    equal(kept.len(), 1, "shovels that are kept")?;
    api.clear_runtime_parameter("shovel", v, "s", false).await?;
    let unknown = RuntimeParameterDefinition {
        name: "n",
        vhost: v,
        component: "nosuch",
        value: fields(json!({"a": 1})),
    };
    check(api.upsert_runtime_parameter(&unknown).await.is_err(), "an unknown component was kept")?;
    let global = flow.unique("global");
    let value = fields(json!({"a": [1, null]}));
    let parameter = GlobalRuntimeParameterDefinition { name: &global, value };
    api.upsert_global_runtime_parameter(&parameter).await?;
    api.get_global_runtime_parameter(&global).await?;
    api.clear_global_runtime_parameter(&global).await?;
    check(api.get_global_runtime_parameter(&global).await.is_err(), "the parameter is there")?;
    api.set_cluster_tags(fields(json!({"region": "here"}))).await?;
    equal(json!(api.get_cluster_tags().await?.0), json!({"region": "here"}), "cluster tags")?;
    api.clear_cluster_tags().await?;
    let before = api.get_cluster_name().await?.name;
    api.set_cluster_name("renamed").await?;
    equal(api.overview().await?.cluster_name.as_str(), "renamed", "the cluster's name")?;
    api.set_cluster_name(&before).await?;
    Ok(api.delete_vhost(v, false).await?)
}

/// A client that is connected is seen with channel and consumer, and closed.
async fn http_watching(flow: &Flow) -> Result {
    let api = api()?;
    let connection = flow.connect().await?;
    let channel = connection.create_channel().await?;
    let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
    let declared = channel.queue_declare("".into(), exclusive, FieldTable::default()).await?;
    let queue = declared.name().as_str().to_owned();
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let _consumer =
        channel.basic_consume(queue.as_str().into(), "tag".into(), options, arguments).await?;
    let consumers = api.list_consumers_in("/").await?;
    let consumer = consumers.iter().find(|one| one.queue.name == queue);
    let consumer = consumer.ok_or("the consumer is not listed")?;
    let details = consumer.channel_details.as_ref().ok_or("the consumer has no channel")?;
    let name = details.connection_name.clone();
    equal(api.get_connection_info(&name).await?.username.as_str(), "guest", "whose it is")?;
    check(!api.list_connections().await?.is_empty(), "no connection is listed")?;
    check(!api.list_user_connections("guest").await?.is_empty(), "none of the user's is")?;
    let channels = api.list_channels_on(&name).await?;
    equal(channels.len(), 1, "channels of the connection")?;
    equal(api.get_channel_info(&channels[0].name).await?.consumer_count, 1, "its consumers")?;
    api.close_connection(&name, Some("enough"), false).await?;
    let gone = async {
        while api.get_connection_info(&name).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(gone, "the connection is still there").await
}

/// The node, its health, and small things that tools ask for.
async fn http_checks(_flow: &Flow) -> Result {
    let api = api()?;
    equal(api.current_user().await?.name.as_str(), "guest", "who it is")?;
    let nodes = api.list_nodes().await?;
    equal(nodes.len(), 1, "nodes")?;
    let node = &nodes[0].name;
    api.get_node_info(node).await?;
    api.get_node_memory_footprint(node).await?;
    api.list_node_plugins(node).await?;
    api.auth_attempts_statistics(node).await?;
    api.health_check_cluster_wide_alarms().await?;
    api.health_check_local_alarms().await?;
    api.health_check_if_node_is_quorum_critical().await?;
    api.health_check_protocol_listener(SupportedProtocol::AMQP).await?;
    let stomp = api.health_check_protocol_listener(SupportedProtocol::STOMP).await;
    check(stomp.is_err(), "there is a listener for STOMP")?;
    check(api.health_check_port_listener(1).await.is_err(), "somebody listens on port 1")?;
    check(!api.list_feature_flags().await?.0.is_empty(), "there is no feature flag")?;
    api.enable_all_stable_feature_flags().await?;
    check(!api.list_all_deprecated_features().await?.0.is_empty(), "nothing is deprecated")?;
    api.list_deprecated_features_in_use().await?;
    api.rebalance_queue_leaders().await?;
    check(api.list_shovels().await?.is_empty(), "there is a shovel")?;
    check(api.list_federation_links().await?.is_empty(), "there is a link")?;
    check(api.list_stream_publishers().await?.is_empty(), "there is a publisher to a stream")?;
    api.server_version().await?;
    let stranger = Client::new(format!("{}/api", env::var("MANAGEMENT_URL")?), "guest", "wrong");
    check(stranger.overview().await.is_err(), "a wrong password was taken")
}

/// A vhost's definitions go out, and into another one; a file that is wrong changes nothing.
async fn http_definitions(flow: &Flow) -> Result {
    let api = api()?;
    let name = vhost(&api, flow).await?;
    let (from, to) = (name.as_str(), flow.unique("to"));
    api.create_vhost(&VirtualHostParams::named(&to)).await?;
    api.grant_full_permissions("guest", &to).await?;
    api.declare_quorum_queue(from, "q").await?;
    api.declare_exchange(from, &ExchangeParams::durable("x", ExchangeType::Headers, None)).await?;
    api.bind_queue(from, "q", "x", None, Some(fields(json!({"x-match": "any"})))).await?;
    let text = api.export_vhost_definitions(from).await?;
    let mut file: Value = serde_json::from_str(&text)?;
    api.import_vhost_definitions(&to, file.clone()).await?;
    equal(api.list_quorum_queues_in(&to).await?.len(), 1, "queues that were taken over")?;
    equal(api.list_queue_bindings(&to, "q").await?.len(), 2, "bindings that were taken over")?;
    let queues = file["queues"].as_array_mut().ok_or("there are no queues in the file")?;
    queues.push(json!({"name": "good", "arguments": {}}));
    queues.push(json!({"name": "bad", "arguments": {"x-max-length": -1}}));
    let imported = api.import_vhost_definitions(&to, file).await;
    check(imported.is_err(), "a wrong file was taken")?;
    check(api.get_queue_info(&to, "good").await.is_err(), "a part of a wrong file was taken")?;
    let whole = api.export_cluster_wide_definitions_as_data().await?;
    check(whole.virtual_hosts.iter().any(|one| one.name == to), "the vhost is not in the file")?;
    api.delete_vhost(from, false).await?;
    Ok(api.delete_vhost(&to, false).await?)
}
