//! A capture as pcapng (draft-ietf-opsawg-pcapng).

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::interface_statistics::{InterfaceStatisticsBlock, InterfaceStatisticsOption};
use pcap_file::{DataLink, Endianness};
use plexus_cni::wire::CapturedFrame;
use serde_json::Value;

use crate::ctl::text;

/// `if_tsresol`: times are in nanoseconds.
const NANOSECONDS: u8 = 9;
/// `epb_flags`: the frame comes in, the frame goes out.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// A file that is being written: one interface, the pod's.
pub(super) struct CaptureFile<W: Write> {
    writer: PcapNgWriter<W>,
    written: u64,
}

impl<W: Write> CaptureFile<W> {
    /// Writes what the file is about, as plexusd said.
    pub(super) fn begin(output: W, about: &Value, snaplen: u32) -> anyhow::Result<Self> {
        let mut writer =
            PcapNgWriter::with_endianness(output, Endianness::Little).context("cannot write the capture")?;
        let description = format!("pod {}, network {}", text(&about["pod"]), text(&about["network"]));
        let interface = InterfaceDescriptionBlock {
            linktype: DataLink::ETHERNET,
            snaplen,
            options: vec![
                InterfaceDescriptionOption::IfName(text(&about["interface"]).into()),
                InterfaceDescriptionOption::IfDescription(description.into()),
                InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
            ],
        };
        writer.write_pcapng_block(interface).context("cannot write the capture")?;
        Ok(Self { writer, written: 0 })
    }

    /// Packets written so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Writes at most `snaplen` bytes of a packet, with its direction and, if it was dropped, why, as a comment: the
    /// crate has no `epb_verdict`.
    pub(super) fn write(&mut self, frame: &CapturedFrame, snaplen: u32) -> anyhow::Result<()> {
        let mut bytes = STANDARD.decode(&frame.bytes).context("plexusd sent a packet that cannot be read")?;
        bytes.truncate(snaplen as usize);
        let mut options =
            vec![EnhancedPacketOption::Flags(if frame.is_from_pod { OUTBOUND } else { INBOUND })];
        if let Some(reason) = &frame.reason {
            options.push(EnhancedPacketOption::Comment(format!("dropped: {reason}").into()));
        }
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: Duration::from_nanos(frame.unix_ns),
            original_len: frame.frame_bytes,
            data: bytes.into(),
            options,
        };
        self.writer.write_pcapng_block(block).context("cannot write the capture")?;
        self.written += 1;
        Ok(())
    }

    /// Writes out what is buffered.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        self.writer.get_mut().flush().context("cannot write the capture")
    }

    /// Writes how many packets were seen and lost, and returns how many were written.
    pub(super) fn end(mut self, lost: u64) -> anyhow::Result<u64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_nanos()).unwrap_or_default();
        let statistics = InterfaceStatisticsBlock {
            interface_id: 0,
            // The format has the upper half first whatever the byte order; the crate writes one number.
            timestamp: now.rotate_left(32),
            options: vec![
                InterfaceStatisticsOption::IsbIfRecv(self.written.saturating_add(lost)),
                InterfaceStatisticsOption::IsbIfDrop(lost),
                InterfaceStatisticsOption::IsbUsrDeliv(self.written),
            ],
        };
        self.writer.write_pcapng_block(statistics).context("cannot write the capture")?;
        self.flush()?;
        Ok(self.written)
    }
}

#[cfg(test)]
mod tests {
    use pcap_file::pcapng::{Block, PcapNgReader};
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let mut bytes = Vec::new();
        let about = json!({"pod": "default/a", "interface": "net1", "network": "lan"});
        let mut file = CaptureFile::begin(&mut bytes, &about, 100).unwrap();
        for (is_from_pod, reason) in [(true, Some("tagged".to_owned())), (false, None)] {
            let frame = CapturedFrame {
                unix_ns: 1_700_000_000_123_456_789,
                is_from_pod,
                reason,
                frame_bytes: 1500,
                bytes: STANDARD.encode([7; 200]),
            };
            file.write(&frame, 100).unwrap();
        }
        assert_eq!(file.end(5).unwrap(), 2);
        let mut reader = PcapNgReader::new(bytes.as_slice()).unwrap();
        let mut packets = Vec::new();
        let mut dropped = None;
        while let Some(block) = reader.next_block() {
            match block.unwrap().into_owned() {
                Block::EnhancedPacket(packet) => packets.push(packet),
                Block::InterfaceStatistics(statistics) => {
                    dropped = statistics.options.into_iter().find_map(|option| match option {
                        InterfaceStatisticsOption::IsbIfDrop(count) => Some(count),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
        assert_eq!(dropped, Some(5));
        assert_eq!(packets.len(), 2);
        assert_eq!(packets[0].timestamp, Duration::from_nanos(1_700_000_000_123_456_789));
        assert_eq!((packets[0].original_len, packets[0].data.len()), (1500, 100));
        assert!(packets[0].options.contains(&EnhancedPacketOption::Flags(OUTBOUND)));
        assert!(packets[0].options.contains(&EnhancedPacketOption::Comment("dropped: tagged".into())));
        assert_eq!(packets[1].options, [EnhancedPacketOption::Flags(INBOUND)]);
    }
}
