//! Shaping at the pod's end of a veth, whose other end, on the host, has the port's programs.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use super::{
    Datapath,
    error::{DatapathError, Result},
    filter::{Filters, Place},
    hook::Hook,
    policer,
    spec::PolicerSpec,
};

/// Where packets of a shaped port get their time.
#[derive(Clone, Copy, Debug)]
pub struct ShapeGate<'a> {
    /// The port.
    pub port: u32,
    /// The pod's end of its veth, by its index in the pod; fq stands on it.
    pub ifindex: u32,
    /// A NETLINK_ROUTE socket that was opened in the pod's network namespace.
    pub socket: BorrowedFd<'a>,
}

impl Datapath {
    /// What the port's gate gives packets their time by, nothing for at once. The port's policer stays in force behind it.
    pub fn set_shaper(&self, id: u32, spec: Option<PolicerSpec>) -> Result<()> {
        let mut inner = self.lock();
        inner.present(id)?;
        let config = policer::to_config(id, spec)?;
        policer::install_shaper(&mut inner.maps, id, config)
    }

    /// Puts the gate in its place; idempotent.
    pub fn add_shape_gate(&self, gate: &ShapeGate<'_>) -> Result<()> {
        let inner = self.lock();
        let place = gate.place()?;
        let program = inner.programs.fd("shape_gate")?.as_fd().as_raw_fd();
        let filters = gate.filters()?;
        let attached = filters
            .prepare(gate.ifindex)
            .and_then(|()| filters.set(gate.ifindex, place, Hook::Shape.as_str(), program));
        attached.map_err(|error| DatapathError::Attach {
            hook: Hook::Shape,
            ifindex: gate.ifindex,
            reason: error.to_string(),
        })
    }

    /// Takes it away; one that is gone, or whose interface is, is fine.
    pub fn remove_shape_gate(&self, gate: &ShapeGate<'_>) -> Result<()> {
        gate.filters()?.remove(gate.ifindex, gate.place()?).map_err(|source| DatapathError::Device {
            action: "remove the shape gate",
            ifindex: gate.ifindex,
            source,
        })
    }

    /// Whether our gate stands on the interface.
    pub fn has_shape_gate(&self, gate: &ShapeGate<'_>) -> Result<bool> {
        let own = self.lock().programs.info("shape_gate")?.tag();
        Ok(gate.filters()?.tag(gate.ifindex, gate.place()?).is_ok_and(|tag| tag == own))
    }
}

impl ShapeGate<'_> {
    fn place(&self) -> Result<Place> {
        let class = u16::try_from(self.port).map_err(|_| DatapathError::Port {
            port: self.port,
            reason: "its id does not fit a filter's class; lower max_ports to 65536".into(),
        })?;
        Ok(Place::of_shaper(class))
    }

    fn filters(&self) -> Result<Filters> {
        Filters::over(self.socket).map_err(|source| DatapathError::Socket { source })
    }
}
