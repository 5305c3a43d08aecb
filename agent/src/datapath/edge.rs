//! A VLAN access port for a machine on a trunk whose kernel has no VLAN devices: demos and tests.

use aya::{
    Ebpf, EbpfLoader,
    maps::Array,
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType,
        tc::{NlOptions, TcAttachOptions, qdisc_add_clsact},
    },
};

use super::{
    device,
    error::{DatapathError, Result, map_error},
    load::OBJECT,
    maps::{MAPS, SEEN},
    spec,
};

/// Bytes of the smallest ring.
const LEAST_RING_BYTES: u32 = 4096;

/// Programs that tag what a device sends and untag what it gets, for as long as the value lives.
#[derive(Debug)]
pub struct VlanEdge {
    /// Owns the links: dropping it detaches them.
    _programs: Ebpf,
}

impl VlanEdge {
    /// Attaches to the device with this ifindex in the thread's network namespace.
    ///
    /// Received frames without the VLAN are dropped. VLAN insertion and checksum offload of the device are switched
    /// off, so that frames look as on a wire, and XDP at the other end of a veth works on them.
    pub fn attach(ifindex: u32, vlan: u16) -> Result<Self> {
        Self::attach_stacked(ifindex, 0, vlan)
    }

    /// The same with a service VLAN (802.1ad) around the VLAN; 0 is none.
    pub fn attach_stacked(ifindex: u32, outer_vlan: u16, vlan: u16) -> Result<Self> {
        if OBJECT.is_empty() {
            return Err(DatapathError::NoObject);
        }
        let name = device::name(ifindex)?;
        device::send_as_on_a_wire(ifindex)?;
        let mut loader = EbpfLoader::new();
        loader.btf(None);
        for (map, _) in MAPS {
            // The edge uses none of them; a ring is made of pages.
            loader.map_max_entries(map, if map == SEEN { LEAST_RING_BYTES } else { 1 });
        }
        let mut ebpf = loader.load(OBJECT)?;
        let failed = map_error("EDGE_VLAN", "set");
        let map = ebpf.map_mut("EDGE_VLAN").ok_or_else(|| failed(ProgramError::NotLoaded))?;
        let mut vlans = Array::<_, u32>::try_from(map).map_err(map_error("EDGE_VLAN", "open"))?;
        let word = u32::from(outer_vlan) << 16 | u32::from(vlan);
        vlans.set(0, word, 0).map_err(map_error("EDGE_VLAN", "set"))?;
        attach(&mut ebpf, "edge_pop", &name, TcAttachType::Ingress)?;
        attach(&mut ebpf, "edge_push", &name, TcAttachType::Egress)?;
        Ok(Self { _programs: ebpf })
    }
}

fn attach(ebpf: &mut Ebpf, name: &'static str, device: &str, side: TcAttachType) -> Result<()> {
    let unusable = |reason: String| DatapathError::Object { what: "program", name, reason };
    let program = ebpf.program_mut(name).ok_or_else(|| unusable("it is missing".into()))?;
    let options = if spec::has_tcx() {
        TcAttachOptions::TcxOrder(LinkOrder::default())
    } else {
        // It may be there already; if it cannot be had, attaching says so.
        qdisc_add_clsact(device).unwrap_or_default();
        TcAttachOptions::Netlink(NlOptions::default())
    };
    let attach = |program: &mut SchedClassifier| {
        program.load()?;
        program.attach_with_options(device, side, options)
    };
    let program: &mut SchedClassifier =
        program.try_into().map_err(|error: ProgramError| unusable(error.to_string()))?;
    attach(program).map(|_| ()).map_err(|error| unusable(format!("on {device}: {error}")))
}
