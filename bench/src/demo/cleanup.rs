//! DEL, the end of plexusd, and a look for what is left.

use anyhow::{Context as _, Result};
use plexus_agent::lab::leftovers::{Inventory, Kind, Thing};

use super::attach::{Attached, IFNAME};
use super::report::DemoReport;
use super::stage::Stage;
use crate::screen::Screen;

/// Deletes both pods (twice, as kubelet does), stops plexusd, and compares the host with what it was before.
pub(super) fn everything(
    stage: &mut Stage,
    pods: &mut Vec<Attached>,
    screen: &mut Screen,
    report: &mut DemoReport,
) -> Result<()> {
    screen.heading("DEL");
    for one in pods.drain(..) {
        let name = one.pod.name.clone();
        let first = stage.runtime.del(&one.pod, IFNAME, &stage.config)?;
        first.success().with_context(|| format!("DEL of {name}"))?;
        let second = stage.runtime.del(&one.pod, IFNAME, &stage.config)?;
        let inside: Vec<_> = one.interfaces.iter().map(|interface| interface.name.clone()).collect();
        let left: Vec<_> =
            one.pod.netns.interfaces()?.into_iter().filter(|name| inside.contains(name)).collect();
        screen.expect(
            left.is_empty() && second.code == 0,
            &format!("{name} has no interface left, and a second DEL succeeds"),
            &format!("{:.1} ms", first.elapsed.as_secs_f64() * 1e3),
        );
        one.pod.netns.remove()?;
    }
    let status = stage.plexusd.stop()?;
    screen.expect(status.success(), "plexusd ends at SIGTERM", &status.to_string());
    let since = Inventory::take(&stage.host)?.since(&stage.before);
    let (of_the_node, left): (Vec<_>, Vec<_>) = since.into_iter().partition(belongs_to_the_node);
    let shown: Vec<_> = left.iter().map(ToString::to_string).collect();
    screen.expect(
        left.is_empty(),
        "no interface, lease, pin, file or process is left",
        &if shown.is_empty() { "compared with before plexusd".to_owned() } else { shown.join(", ") },
    );
    let kept: Vec<_> = of_the_node.iter().map(ToString::to_string).collect();
    if !kept.is_empty() {
        screen.note(&format!("kept for the next pods: {}", kept.join(", ")));
    }
    report.leftovers = shown;
    Ok(())
}

/// The bridge of the default network belongs to the node, not to a pod; the next pod uses it.
fn belongs_to_the_node(thing: &Thing) -> bool {
    thing.kind == Kind::Interface && thing.name == "cni0"
}
