//! What the process uses of the machine's memory, from Linux's `/proc` (proc(5)).

use crate::engine::MemoryUse;
use std::fs;

/// Resident bytes of this process and available bytes: the machine's, or the control group's limit when that is lower.
/// Zeros where `/proc` is missing.
pub fn memory_use() -> MemoryUse {
    MemoryUse {
        used: kilobytes("/proc/self/status", "VmRSS:"),
        total: total(),
    }
}

fn total() -> u64 {
    let machine = kilobytes("/proc/meminfo", "MemTotal:");
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse().ok());
    limit.map_or(machine, |limit: u64| limit.min(machine))
}

fn kilobytes(path: &str, field: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}
