//! At the start: the leases of this node's slices are made what the records say, and slices are looked after from then on.

use std::time::Instant;

use plexus_cni::args::CniArgs;
use plexus_cni::json::Object;
use serde_json::Value;

use crate::agent::Agent;
use crate::ipam::IpamRequest;
use crate::ipam::whereabouts::Cluster;
use crate::ipam::whereabouts::slices::{Held, Slices};
use crate::record::{Attachment, Record};

/// Repairs the leases before anybody adds, and starts the thread that takes slices and gives them back.
pub fn take_over(agent: &Agent) -> anyhow::Result<()> {
    let Some(cluster) = &agent.pools else { return Ok(()) };
    let slices = cluster.slices()?;
    let records = agent.records.all();
    let attached = records
        .iter()
        .flat_map(|record| record.attachments.iter().map(move |attachment| (&**record, attachment)));
    let held: Vec<Held> = attached.map(|(record, attachment)| held(cluster, record, attachment)).collect();
    slices.repair(&held)?;
    Slices::start(&slices)?;
    Ok(())
}

/// What a record says about an attachment.
fn held(cluster: &Cluster, record: &Record, attachment: &Attachment) -> Held {
    let args = CniArgs::parse(&attachment.args).unwrap_or_default();
    let request = IpamRequest {
        network: &attachment.network,
        container_id: &record.container_id,
        ifname: &attachment.ifname,
        config: plugin_with_ipam(attachment).unwrap_or(&attachment.config),
        args: &args,
        data_dirs: &[],
        cluster: Some(cluster),
        boot_id: &record.boot_id,
        deadline: Instant::now(),
    };
    let addresses = attachment.cni_result().ok().flatten().map(|result| result.ips).unwrap_or_default();
    Held { addresses: addresses.iter().map(|ip| ip.address.addr()).collect(), ..Held::of(&request) }
}

/// The plugin of a chain whose addresses come from whereabouts.
fn plugin_with_ipam(attachment: &Attachment) -> Option<&Object> {
    let chain = attachment.config.get("plugins").and_then(Value::as_array);
    let single = chain.is_none().then_some(&attachment.config);
    let mut plugins = chain.into_iter().flatten().filter_map(Value::as_object).chain(single);
    plugins
        .find(|plugin| plugin.get("ipam").and_then(|ipam| ipam.get("type")?.as_str()) == Some("whereabouts"))
}
