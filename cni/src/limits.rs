//! Limits on foreign input: every size, count and time that somebody else chooses ends here.

/// Longest config on stdin, in bytes; a Kubernetes object may hold 1.5 MB, a config in it stays below this.
pub const CONFIG_BYTES_MAX: usize = 1 << 20;
/// Longest frame on the socket, in bytes: a config with its JSON escapes, or one answer for people.
pub const FRAME_BYTES_MAX: usize = 16 << 20;
/// Longest `CNI_ARGS`, in bytes.
pub const ARGS_BYTES_MAX: usize = 16 << 10;
/// Longest container id, in bytes; it names files, and a file name ends at 255.
pub const CONTAINER_ID_BYTES_MAX: usize = 200;
/// Longest network name, in bytes; it names a directory.
pub const NETWORK_NAME_BYTES_MAX: usize = 200;
/// Most plugins in one conflist.
pub const PLUGINS_MAX: usize = 32;
/// Most networks that one pod may select.
pub const NETWORKS_MAX: usize = 64;
/// Standard output taken from one delegate, in bytes.
pub const DELEGATE_STDOUT_BYTES_MAX: usize = 1 << 20;
/// Standard error kept from one delegate, in bytes; the rest is read and dropped.
pub const DELEGATE_STDERR_BYTES_MAX: usize = 64 << 10;
/// The whole of one ADD, CHECK or DEL, in milliseconds; below the two minutes after which kubelet gives up.
pub const REQUEST_DEADLINE_MS: u64 = 110_000;
/// How long the shim waits for an agent that is not there, in milliseconds (ADD and CHECK end within 2 s).
pub const AGENT_WAIT_MS: u64 = 1_800;
/// Longest path of a unix socket, in bytes: `sun_path` of unix(7) less its closing zero.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Longest path of a directory that a config names, in bytes: PATH_MAX of limits.h less the names beneath it.
pub const DIRECTORY_PATH_BYTES_MAX: usize = 3 << 10;
/// Longest network annotation, in bytes; Kubernetes allows 256 KiB for all annotations of an object.
pub const ANNOTATION_BYTES_MAX: usize = 256 << 10;
/// Most addresses that one network selection element may request.
pub const ADDRESSES_MAX: usize = 32;
/// Most port mappings that one network selection element may request.
pub const PORT_MAPPINGS_MAX: usize = 256;
/// Longest free text in a network selection element, in bytes.
pub const TEXT_FIELD_BYTES_MAX: usize = 256;
/// Longest device information file, in bytes; those of device plugins have a few hundred.
pub const DEVICE_INFO_BYTES_MAX: usize = 64 << 10;
/// Longest file name, in bytes: NAME_MAX of limits.h.
pub const FILE_NAME_BYTES_MAX: usize = 255;
/// Longest list of directories in a config, in bytes.
pub const PATH_LIST_BYTES_MAX: usize = 16 << 10;
/// Most sysctls in one request.
pub const SYSCTLS_MAX: usize = 256;
/// Longest path of a sysctl below `/proc/sys`, in bytes.
pub const SYSCTL_NAME_BYTES_MAX: usize = 256;
/// Longest value of a sysctl, in bytes; the kernel takes a page at most.
pub const SYSCTL_VALUE_BYTES_MAX: usize = 4 << 10;
