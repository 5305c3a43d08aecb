//! The kernel proper inside a boot image: QEMU starts it at once, while a boot image first unpacks itself, which takes
//! seconds where the processor is emulated.
//!
//! Layout of the boot image: <https://docs.kernel.org/arch/x86/boot.html>.

use anyhow::{Context as _, Result, bail};

/// Number of 512-byte sectors before the protected-mode part; zero stands for four.
const SETUP_SECTORS: usize = 0x1f1;
const SECTOR_BYTES: usize = 512;
/// The boot protocol's mark.
const MAGIC: (usize, &[u8]) = (0x202, b"HdrS");
/// Where the payload begins in the protected-mode part, and its length in bytes, both 32 bits, little-endian.
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
/// Behind the compressed data stands its size when unpacked, 32 bits.
const SIZE_BYTES: usize = 4;

/// How a payload is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    /// As Debian 12 does.
    Xz,
    /// As Debian's newer kernels do.
    Zstd,
}

impl Compression {
    /// The program that unpacks it with `-dc`.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }
}

/// The compressed kernel in the boot image `image`.
pub(super) fn payload(image: &[u8]) -> Result<(Compression, &[u8])> {
    let (at, mark) = MAGIC;
    if image.get(at..at + mark.len()) != Some(mark) {
        bail!("it is no boot image of an x86 kernel");
    }
    let sectors = match image.get(SETUP_SECTORS) {
        Some(0) | None => 4,
        Some(&sectors) => usize::from(sectors),
    };
    let start = (sectors + 1) * SECTOR_BYTES + word(image, PAYLOAD_OFFSET)?;
    let end = start + word(image, PAYLOAD_LENGTH)?;
    let payload = image.get(start..end).context("its payload lies outside of it")?;
    let compression = match payload {
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        _ => bail!("its payload is compressed neither by xz nor by zstd"),
    };
    Ok((compression, &payload[..payload.len().saturating_sub(SIZE_BYTES)]))
}

fn word(image: &[u8], at: usize) -> Result<usize> {
    let bytes = image.get(at..at + 4).context("it ends within its header")?;
    Ok(usize::try_from(u32::from_le_bytes(bytes.try_into()?))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 0x400];
        image[SETUP_SECTORS] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&16_u32.to_le_bytes());
        let length = u32::try_from(payload.len()).unwrap();
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&length.to_le_bytes());
        image.extend([0; 16]);
        image.extend(payload);
        image
    }

    #[test]
    fn the_payload_is_found_without_the_size_behind_it() {
        let xz = image(b"\xfd7zXZ\0data\x04\0\0\0");
        assert_eq!(payload(&xz).unwrap(), (Compression::Xz, &b"\xfd7zXZ\0data"[..]));
        let zstd = image(b"\x28\xb5\x2f\xfddata\x04\0\0\0");
        assert_eq!(payload(&zstd).unwrap().0, Compression::Zstd);
    }

    #[test]
    fn what_is_no_boot_image_is_refused() {
        assert!(payload(b"").is_err());
        assert!(payload(&[0; 0x400]).is_err());
        assert!(payload(&image(b"gzip data")).is_err());
        let mut cut = image(b"\xfd7zXZ\0data\x04\0\0\0");
        cut.truncate(0x410);
        assert!(payload(&cut).is_err());
    }
}
