//! The root qdisc of a link: fq, where departures are shaped.

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage, TcOption};
use nix::errno::Errno;

use super::{Netlink, NetlinkError};

/// The kind that lets packets go at their time.
pub const FQ: &str = "fq";
/// The handle of ours, by which it is known again: `7058:`.
const HANDLE: TcHandle = TcHandle { major: 0x7058, minor: 0 };
/// Packets that may wait in all and of one flow: a shaper's horizon bounds them, and the kernel's 100 of a flow are less than
/// 50 ms of a fast link.
const PACKETS_MAX: u32 = 32_768;
// include/uapi/linux/pkt_sched.h
const TCA_FQ_PLIMIT: u16 = 1;
const TCA_FQ_FLOW_PLIMIT: u16 = 2;

/// What stands at the root of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootQdisc {
    /// Its kind.
    pub kind: String,
    /// It was put there by [`Netlink::add_fq`].
    pub is_ours: bool,
    /// The kernel put it there by itself.
    pub is_default: bool,
}

impl Netlink {
    /// The root qdisc of the link; `None` where there is none, as the kernel lists it.
    pub fn root_qdisc(&self, index: u32) -> Result<Option<RootQdisc>, NetlinkError> {
        let message = RouteNetlinkMessage::GetQueueDiscipline(message(index));
        let answers = self.request(|| format!("list the qdiscs of link {index}"), message, NLM_F_DUMP)?;
        Ok(answers.iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewQueueDiscipline(qdisc)
                if qdisc.header.index == link(index) && qdisc.header.parent == TcHandle::ROOT =>
            {
                Some(RootQdisc {
                    kind: kind(qdisc).to_owned(),
                    is_ours: qdisc.header.handle == HANDLE && kind(qdisc) == FQ,
                    is_default: qdisc.header.handle == TcHandle::UNSPEC,
                })
            }
            _ => None,
        }))
    }

    /// Puts fq at the root of the link, in place of the kernel's default; ours that is there already is a success.
    ///
    /// Errors: `EEXIST` where somebody else put a qdisc there, `ENOENT` where the kernel has no fq.
    pub fn add_fq(&self, index: u32) -> Result<(), NetlinkError> {
        let limit = |kind, value: u32| TcOption::Other(DefaultNla::new(kind, value.to_ne_bytes().to_vec()));
        let mut message = message(index);
        message.header.handle = HANDLE;
        message.attributes = vec![
            TcAttribute::Kind(FQ.to_owned()),
            TcAttribute::Options(vec![
                limit(TCA_FQ_PLIMIT, PACKETS_MAX),
                limit(TCA_FQ_FLOW_PLIMIT, PACKETS_MAX),
            ]),
        ];
        let message = RouteNetlinkMessage::NewQueueDiscipline(message);
        match self.acknowledged(|| format!("put fq on link {index}"), message, NLM_F_CREATE | NLM_F_EXCL) {
            Err(error) if error.errno == Errno::EEXIST => match self.root_qdisc(index)? {
                Some(root) if root.is_ours => Ok(()),
                _ => Err(error),
            },
            outcome => outcome,
        }
    }

    /// Removes our fq, and no other qdisc; one that is gone, or with its link, is a success.
    pub fn remove_fq(&self, index: u32) -> Result<(), NetlinkError> {
        if !self.root_qdisc(index)?.is_some_and(|root| root.is_ours) {
            return Ok(());
        }
        let mut message = message(index);
        message.header.handle = HANDLE;
        let message = RouteNetlinkMessage::DelQueueDiscipline(message);
        match self.acknowledged(|| format!("take fq from link {index}"), message, 0) {
            Err(error) if matches!(error.errno, Errno::ENOENT | Errno::ENODEV | Errno::EINVAL) => Ok(()),
            outcome => outcome,
        }
    }
}

fn message(index: u32) -> TcMessage {
    let mut message = TcMessage::with_index(link(index));
    message.header.parent = TcHandle::ROOT;
    message
}

/// The index as qdisc messages have it.
const fn link(index: u32) -> i32 {
    index.cast_signed()
}

fn kind(qdisc: &TcMessage) -> &str {
    let kind = qdisc.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Kind(kind) => Some(&**kind),
        _ => None,
    });
    kind.unwrap_or_default()
}
