//! Default routes of a pod with several networks, in the kernel and in the results.

use plexus_cni::CniError;
use plexus_cni::default_route::{DefaultRoutePlan, default_of};
use plexus_cni::result::Route;

use super::Request;
use crate::netlink::{Netlink, TABLE_MAIN};
use crate::record::Attachment;

/// Carries the plans out: first every removal, then what is added, so that no family has two at once.
pub(super) fn apply(
    request: &Request<'_>,
    attachments: &mut [Attachment],
    plans: &[DefaultRoutePlan],
) -> Result<(), CniError> {
    if plans.iter().all(DefaultRoutePlan::is_empty) {
        return Ok(());
    }
    let netlink = &request.sandbox()?.netlink;
    for (attachment, plan) in attachments.iter().zip(plans) {
        if let Some(link) = link(netlink, attachment)? {
            // Other tables are for those who look there: source based routing has its default routes in them.
            for route in
                netlink.routes_in_table(link, TABLE_MAIN)?.iter().filter(|route| plan.removes(&route.dst))
            {
                netlink.take_route(route)?;
            }
        }
    }
    for (attachment, plan) in attachments.iter_mut().zip(plans) {
        if let Some(link) = link(netlink, attachment)? {
            for gateway in &plan.adds {
                netlink.add_route(link, &Route::new(default_of(*gateway), Some(*gateway)))?;
            }
        }
        if let Some(mut result) = attachment.cni_result()? {
            plan.rewrite(&mut result);
            attachment.result = Some(result.to_value(attachment.cni_version()));
        }
    }
    Ok(())
}

/// The attachment's interface; a plugin may make none (`disableContainerInterface`).
fn link(netlink: &Netlink, attachment: &Attachment) -> Result<Option<u32>, CniError> {
    Ok(netlink.link_by_name(&attachment.ifname)?.map(|link| link.index))
}
