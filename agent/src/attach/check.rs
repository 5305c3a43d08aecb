//! CHECK: is the kernel as the result says? Nothing is changed.

use plexus_cni::{CniError, CniResult, Code};
use serde_json::Value;

use super::chain::Chain;
use super::plan;
use super::request::Request;
use super::taken_over;

/// Compares; the first difference is the answer.
pub(super) fn check(request: &Request<'_>) -> Result<(), CniError> {
    let _ours = request.agent.locks.container(&request.call.container_id, request.deadline)?;
    let given = match request.config.document.get("prevResult") {
        Some(value @ Value::Object(_)) => CniResult::from_value(value, "prevResult")?,
        _ => {
            return Err(CniError::new(Code::InvalidConfig, "CHECK needs key \"prevResult\"")
                .because("the runtime passes the result of ADD there"));
        }
    };
    let record = request.agent.records.get(&request.call.container_id);
    let Some(record) = record else {
        return if taken_over::check(request)? { Ok(()) } else { Err(unknown(request)) };
    };
    let sandbox = request.sandbox()?;
    if record.netns.as_ref().is_some_and(|known| !known.is_same(&sandbox.id)) {
        return Err(CniError::new(
            Code::CheckFailed,
            format!("CNI_NETNS {} is another network namespace than at ADD", sandbox.id.path),
        )
        .because("the path was reused; the container that was attached has gone"));
    }
    let mut found = false;
    for attachment in record.attachments.iter().filter(|attachment| plan::is_of(request, attachment)) {
        found = true;
        let recorded = attachment.cni_result()?;
        let result = if request.is_meta() { recorded.as_ref().unwrap_or(&given) } else { &given };
        let chain = Chain::new(request, &record.container_id, attachment, request.sandbox.as_ref())?;
        if chain.checks_nothing() {
            continue;
        }
        let port = attachment.port_id.and_then(|id| record.port(id));
        chain.check(result, port).map_err(|error| error.within(chain.describe()))?;
    }
    if found { Ok(()) } else { Err(unknown(request)) }
}

fn unknown(request: &Request<'_>) -> CniError {
    CniError::new(
        Code::CheckFailed,
        format!("container {} has no interface {} here", request.call.container_id, request.call.ifname),
    )
    .because("no ADD is recorded; restart the pod")
}
