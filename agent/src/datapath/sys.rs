//! The few system calls that aya does not offer.
#![allow(
    unsafe_code,
    reason = "raw calls; each bpf(2) passes one attribute struct that lives through the call"
)]

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

// Command numbers of include/uapi/linux/bpf.h.
const BPF_MAP_CREATE: i32 = 0;
const BPF_MAP_LOOKUP_ELEM: i32 = 1;
const BPF_MAP_UPDATE_ELEM: i32 = 2;
const BPF_MAP_DELETE_ELEM: i32 = 3;
const BPF_OBJ_PIN: i32 = 6;
const BPF_OBJ_GET: i32 = 7;
const BPF_OBJ_GET_INFO_BY_FD: i32 = 15;
const BPF_MAP_UPDATE_BATCH: i32 = 26;
const BPF_LINK_CREATE: i32 = 28;
const BPF_LINK_UPDATE: i32 = 29;
const BPF_LINK_DETACH: i32 = 34;

/// `BPF_NETKIT_PEER` of `enum bpf_attach_type`.
const BPF_NETKIT_PEER: u32 = 55;

const BPF_MAP_TYPE_LPM_TRIE: u32 = 11;
const BPF_F_NO_PREALLOC: u32 = 1;

/// Entries of one call that fills a trie.
const BATCH_MAX: usize = 4096;

/// What the kernel says about a tcx, XDP or netkit link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkInfo {
    /// Id of the program behind the link.
    pub(super) program_id: u32,
    /// The device it is attached to, by its number there; 0 once that device is gone.
    pub(super) ifindex: u32,
}

/// Start of `struct bpf_link_info`; all three kinds of link have the ifindex first in their union.
#[repr(C)]
#[derive(Default)]
struct RawLinkInfo {
    kind: u32,
    id: u32,
    program_id: u32,
    padding: u32,
    ifindex: u32,
    rest: [u32; 7],
}

#[repr(C)]
#[derive(Default)]
struct GetInfo {
    fd: u32,
    length: u32,
    info: u64,
}

#[repr(C)]
#[derive(Default)]
struct ObjectGet {
    path: u64,
    fd: u32,
    flags: u32,
}

/// Start of the attribute of `BPF_LINK_CREATE`; what follows may stay zero.
#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    program_fd: u32,
    ifindex: u32,
    place: u32,
    flags: u32,
    neighbour: u64,
    revision: u64,
}

#[repr(C)]
#[derive(Default)]
struct LinkUpdate {
    link_fd: u32,
    program_fd: u32,
    flags: u32,
    old_program_fd: u32,
}

#[repr(C)]
struct Link {
    fd: u32,
}

#[repr(C)]
#[derive(Default)]
struct Element {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Start of the attribute of `BPF_MAP_CREATE`.
#[repr(C)]
struct MapCreate {
    kind: u32,
    key_bytes: u32,
    value_bytes: u32,
    entries: u32,
    flags: u32,
}

#[repr(C)]
struct Batch {
    input: u64,
    output: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    element_flags: u64,
    flags: u64,
}

/// Makes a trie of prefixes with u32 values; keys are `key_bytes` long, the length of the prefix included.
pub(super) fn create_trie(key_bytes: u32, entries: u32) -> io::Result<OwnedFd> {
    let mut create = MapCreate {
        kind: BPF_MAP_TYPE_LPM_TRIE,
        key_bytes,
        value_bytes: 4,
        entries,
        flags: BPF_F_NO_PREALLOC,
    };
    // SAFETY: the attribute holds no pointer.
    let fd = unsafe { bpf(BPF_MAP_CREATE, &mut create) }?;
    // SAFETY: the call returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Adds entries to a trie: a call for up to [`BATCH_MAX`] of them. Keys stand one behind the other.
pub(super) fn fill_trie(
    trie: BorrowedFd<'_>,
    key_bytes: usize,
    keys: &[u8],
    values: &[u32],
) -> io::Result<()> {
    for (keys, values) in keys.chunks(key_bytes * BATCH_MAX).zip(values.chunks(BATCH_MAX)) {
        if keys.len() != values.len() * key_bytes {
            return Err(io::Error::other("keys and values differ in number"));
        }
        let mut batch = Batch {
            input: 0,
            output: 0,
            keys: keys.as_ptr() as u64,
            values: values.as_ptr() as u64,
            count: u32::try_from(values.len()).map_err(io::Error::other)?,
            map_fd: trie.as_raw_fd().cast_unsigned(),
            element_flags: 0,
            flags: 0,
        };
        // SAFETY: the kernel reads `count` keys and values, which the check above found to be there.
        unsafe { bpf(BPF_MAP_UPDATE_BATCH, &mut batch) }?;
    }
    Ok(())
}

/// Sets an entry of a map with u32 keys and values; of a map of maps the value is a descriptor.
pub(super) fn set_map_word(map: BorrowedFd<'_>, key: u32, word: u32) -> io::Result<()> {
    let mut element = Element {
        map_fd: map.as_raw_fd().cast_unsigned(),
        key: (&raw const key) as u64,
        value: (&raw const word) as u64,
        ..Element::default()
    };
    // SAFETY: the kernel reads four bytes of the key and four of the value; both outlive the call.
    unsafe { bpf(BPF_MAP_UPDATE_ELEM, &mut element) }.map(|_| ())
}

/// Reads what a pinned link is attached to.
pub(super) fn pinned_link_info(path: &Path) -> io::Result<LinkInfo> {
    let fd = open_pin(path)?;
    let mut raw = RawLinkInfo::default();
    let mut info = GetInfo {
        fd: fd.as_raw_fd().cast_unsigned(),
        length: u32::try_from(size_of::<RawLinkInfo>()).map_err(io::Error::other)?,
        info: (&raw mut raw) as u64,
    };
    // SAFETY: the kernel writes at most `length` bytes into `raw`, which outlives the call.
    unsafe { bpf(BPF_OBJ_GET_INFO_BY_FD, &mut info) }?;
    Ok(LinkInfo { program_id: raw.program_id, ifindex: raw.ifindex })
}

/// Attaches a program to what the peer of the netkit device `ifindex` sends. The link ends with its descriptor, unless it is
/// pinned.
pub(super) fn link_netkit_peer(program: BorrowedFd<'_>, ifindex: u32) -> io::Result<OwnedFd> {
    let mut create = LinkCreate {
        program_fd: program.as_raw_fd().cast_unsigned(),
        ifindex,
        place: BPF_NETKIT_PEER,
        ..LinkCreate::default()
    };
    // SAFETY: the attribute holds no pointer.
    let fd = unsafe { bpf(BPF_LINK_CREATE, &mut create) }?;
    // SAFETY: the call returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Replaces the program of a pinned link atomically; `ENOLINK` if its device is gone.
pub(super) fn update_pinned_link(path: &Path, program: BorrowedFd<'_>) -> io::Result<()> {
    let link = open_pin(path)?;
    let mut update = LinkUpdate {
        link_fd: link.as_raw_fd().cast_unsigned(),
        program_fd: program.as_raw_fd().cast_unsigned(),
        ..LinkUpdate::default()
    };
    // SAFETY: the attribute holds no pointer.
    unsafe { bpf(BPF_LINK_UPDATE, &mut update) }.map(|_| ())
}

/// Pins an object: it lives until the file is removed.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut pin = ObjectGet {
        path: path.as_ptr() as u64,
        fd: object.as_raw_fd().cast_unsigned(),
        ..ObjectGet::default()
    };
    // SAFETY: the kernel reads the path, which ends with NUL and outlives the call.
    unsafe { bpf(BPF_OBJ_PIN, &mut pin) }.map(|_| ())
}

/// Detaches a pinned link now. Removing the pin alone detaches it some time later, and a new link on the same device
/// would be refused until then.
pub(super) fn detach_pinned_link(path: &Path) -> io::Result<()> {
    let fd = open_pin(path)?;
    let mut link = Link { fd: fd.as_raw_fd().cast_unsigned() };
    // SAFETY: the attribute holds no pointer.
    unsafe { bpf(BPF_LINK_DETACH, &mut link) }.map(|_| ())
}

fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut get = ObjectGet { path: path.as_ptr() as u64, ..ObjectGet::default() };
    // SAFETY: the kernel reads the path, which ends with NUL and outlives the call.
    let fd = unsafe { bpf(BPF_OBJ_GET, &mut get) }?;
    // SAFETY: the call returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Reads an entry of a map with u32 keys and values.
pub(super) fn map_word(map: BorrowedFd<'_>, key: u32) -> io::Result<Option<u32>> {
    let mut word = 0_u32;
    let mut element = Element {
        map_fd: map.as_raw_fd().cast_unsigned(),
        key: (&raw const key) as u64,
        value: (&raw mut word) as u64,
        ..Element::default()
    };
    // SAFETY: the kernel reads four bytes of the key and writes four of the value; both outlive the call.
    match unsafe { bpf(BPF_MAP_LOOKUP_ELEM, &mut element) } {
        Ok(_) => Ok(Some(word)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Deletes an entry of a map with u32 keys; a missing entry is fine.
pub(super) fn delete_entry(map: BorrowedFd<'_>, key: u32) -> io::Result<()> {
    let mut element = Element {
        map_fd: map.as_raw_fd().cast_unsigned(),
        key: (&raw const key) as u64,
        ..Element::default()
    };
    // SAFETY: the kernel reads four bytes of the key, which outlives the call.
    match unsafe { bpf(BPF_MAP_DELETE_ELEM, &mut element) } {
        Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error),
        _ => Ok(()),
    }
}

/// Gives memory that was freed back to the kernel, which the allocator would keep for later.
pub(super) fn return_freed_memory() {
    // SAFETY: it takes no pointer and touches only memory that nobody owns.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// # Safety
/// `attribute` is the struct of `command`, and every pointer in it is valid for what the command does with it.
unsafe fn bpf<T>(command: i32, attribute: &mut T) -> io::Result<i32> {
    // SAFETY: the caller's promise; the kernel copies `size_of::<T>` bytes.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attribute), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { i32::try_from(result).map_err(io::Error::other) }
}
