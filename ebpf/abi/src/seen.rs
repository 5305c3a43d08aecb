//! Single frames that somebody looks at: samples of drops, and captures.

/// Bytes of a dropped frame that its sample holds.
pub const SAMPLE_BYTES: usize = 128;

/// Bytes of a frame that a capture holds at most; more is cut off. Offload packets are longer, frames on a wire are not.
pub const CAPTURE_BYTES_MAX: u32 = 9216;

/// Ports that are captured at once.
pub const CAPTURES_MAX: u32 = 8;

/// Bytes of the ring from the programs to the agent: a power of two, and pages.
pub const SEEN_RING_BYTES: u32 = 2 << 20;

/// `SeenHeader::kind`: a sample of a drop.
pub const SEEN_SAMPLE: u32 = 1;
/// `SeenHeader::kind`: of a capture.
pub const SEEN_CAPTURE: u32 = 2;

shared! {
    /// Who looks, the only entry of `WATCH`. The agent counts windows while somebody looks; when it dies, the budgets
    /// of the last window are soon spent, and nothing more is written.
    pub struct Watch {
        /// The number of the window; 0 while nobody looks.
        pub window: u32,
        /// Samples of drops per CPU in a window; 0 while nobody follows drops.
        pub samples_max: u32,
        /// Captured frames per CPU and capture in a window; 0 while nobody captures.
        pub frames_max: u32,
        /// Captured bytes per CPU and capture in a window.
        pub bytes_max: u32,
    }
}

shared! {
    /// What a CPU may still sample in a window. Only programs write it.
    pub struct SampleBudget {
        /// The window that `left` is of.
        pub window: u32,
        /// Samples left.
        pub left: u32,
        /// Drops without a sample, since the map was made, because the budget was spent or the ring full.
        pub suppressed: u64,
    }
}

shared! {
    /// A capture on one CPU: made by the agent, then written by programs only.
    pub struct Capture {
        /// Bytes of each frame that are wanted, at most `CAPTURE_BYTES_MAX`.
        pub bytes_wanted: u32,
        /// The window that the budget is of.
        pub window: u32,
        /// Frames left.
        pub frames_left: u32,
        /// Bytes left.
        pub bytes_left: u32,
        /// Frames written to the ring.
        pub frames: u64,
        /// Frames that were not written, because the budget was spent or the ring full.
        pub lost: u64,
    }
}

shared! {
    /// The head of a record in the ring; `captured_bytes` of the frame follow.
    pub struct SeenHeader {
        /// When, in nanoseconds of the monotonic clock.
        pub time_ns: u64,
        /// `SEEN_*`.
        pub kind: u32,
        /// The port.
        pub port: u32,
        /// The `Direction`, seen from the pod.
        pub direction: u32,
        /// The number of the `DropReason`; 0 if the frame went on.
        pub reason: u32,
        /// Bytes of the frame.
        pub frame_bytes: u32,
        /// Bytes of it that follow.
        pub captured_bytes: u32,
        /// A VLAN tag beside the frame's bytes: EtherType in the upper half, control in the lower; 0 is none.
        pub tag: u32,
        /// Zero.
        pub reserved: u32,
    }
}
