//! Maps without an object file: create, update, look up, delete.

use std::{
    ffi::c_char,
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_map_type};

use super::syscall::{bpf, zeroed};

/// A map; it exists as long as this or a program that uses it.
#[derive(Debug)]
pub struct RawMap {
    descriptor: OwnedFd,
    key_size: usize,
    value_size: usize,
}

/// Properties of a map.
#[derive(Debug, Clone, Copy)]
pub struct MapSpec<'a> {
    /// At most 15 bytes are used.
    pub name: &'a str,
    /// Its type.
    pub kind: bpf_map_type,
    /// Bytes of a key.
    pub key_size: usize,
    /// Bytes of a value; of one CPU's value for per-CPU maps.
    pub value_size: usize,
    /// Maximum entries.
    pub max_entries: u32,
    /// `BPF_F_*` of `linux/bpf.h`.
    pub flags: u32,
}

impl RawMap {
    /// Creates a map.
    ///
    /// # Errors
    ///
    /// The kernel's error.
    pub fn create(spec: MapSpec<'_>) -> io::Result<Self> {
        let mut attr: bpf_attr = zeroed();
        let mut map_name = [0; 16];
        for (to, from) in map_name.iter_mut().take(15).zip(spec.name.bytes()) {
            *to = from as c_char;
        }
        let size = |bytes| u32::try_from(bytes).map_err(io::Error::other);
        attr.__bindgen_anon_1.map_type = spec.kind as u32;
        attr.__bindgen_anon_1.key_size = size(spec.key_size)?;
        attr.__bindgen_anon_1.value_size = size(spec.value_size)?;
        attr.__bindgen_anon_1.max_entries = spec.max_entries;
        attr.__bindgen_anon_1.map_flags = spec.flags;
        attr.__bindgen_anon_1.map_name = map_name;
        // SAFETY: no pointer in the attribute is read.
        #[expect(unsafe_code, reason = "bpf(2)")]
        let descriptor = unsafe { bpf(bpf_cmd::BPF_MAP_CREATE, &mut attr) }?;
        let descriptor = RawFd::try_from(descriptor).map_err(io::Error::other)?;
        // SAFETY: the kernel has just created this descriptor for us and nothing else owns it.
        #[expect(unsafe_code, reason = "bpf(2) gives descriptors as numbers")]
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        let per_cpu = matches!(
            spec.kind,
            bpf_map_type::BPF_MAP_TYPE_PERCPU_HASH | bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY
        );
        let value_size = if per_cpu {
            let cpus = aya::util::nr_cpus().map_err(|(_, error)| error)?;
            spec.value_size.next_multiple_of(8) * cpus
        } else {
            spec.value_size
        };
        Ok(Self {
            descriptor,
            key_size: spec.key_size,
            value_size,
        })
    }

    /// Bytes of a key.
    #[must_use]
    pub const fn key_size(&self) -> usize {
        self.key_size
    }

    /// Bytes of a value as passed to and from the kernel: for a per-CPU map the values of all CPUs
    /// one after the other, each a multiple of 8.
    #[must_use]
    pub const fn value_size(&self) -> usize {
        self.value_size
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    ///
    /// `E2BIG` or `ENOSPC` for a full map; `EINVAL` for a key or value of another size.
    pub fn set(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.sizes(key, value.len())?;
        self.element(bpf_cmd::BPF_MAP_UPDATE_ELEM, key, value.as_ptr() as u64)
    }

    /// Reads the value of a key.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the key does not exist.
    pub fn get(&self, key: &[u8]) -> io::Result<Vec<u8>> {
        self.sizes(key, self.value_size)?;
        let mut value = vec![0; self.value_size];
        self.element(bpf_cmd::BPF_MAP_LOOKUP_ELEM, key, value.as_mut_ptr() as u64)?;
        Ok(value)
    }

    /// Removes a key.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the key does not exist.
    pub fn remove(&self, key: &[u8]) -> io::Result<()> {
        self.sizes(key, self.value_size)?;
        self.element(bpf_cmd::BPF_MAP_DELETE_ELEM, key, 0)
    }

    fn sizes(&self, key: &[u8], value: usize) -> io::Result<()> {
        if key.len() == self.key_size && value == self.value_size {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(libc::EINVAL))
        }
    }

    /// The sizes have been checked: the kernel reads and writes no more than that.
    fn element(&self, command: bpf_cmd, key: &[u8], value: u64) -> io::Result<()> {
        let mut attr: bpf_attr = zeroed();
        attr.__bindgen_anon_2.map_fd = self.descriptor.as_raw_fd().cast_unsigned();
        attr.__bindgen_anon_2.key = key.as_ptr() as u64;
        attr.__bindgen_anon_2.__bindgen_anon_1.value = value;
        // SAFETY: `key` and what `value` points to live as long as the call, and the kernel reads and
        // writes no more than the map's sizes, which have been checked.
        #[expect(unsafe_code, reason = "bpf(2)")]
        unsafe { bpf(command, &mut attr) }.map(drop)
    }
}

impl AsFd for RawMap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
