//! A global allocator that counts what this thread allocates and holds. A benchmark or a test that declares it as its
//! `#[global_allocator]` can say what an operation costs in allocations and bytes.
#![allow(
    unsafe_code,
    reason = "an allocator cannot be written without; every call goes on to the system's"
)]
#![allow(dead_code, unreachable_pub, reason = "each of its users needs a part")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counted.
pub struct Counting;

/// What this thread has done to the heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heap {
    /// Allocations and reallocations ever made.
    pub allocations: u64,
    /// Bytes held now, as asked for; what the allocator adds is not in it.
    pub bytes: i64,
}

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

/// The heap as this thread has made it.
pub fn heap() -> Heap {
    Heap {
        allocations: ALLOCATIONS.get(),
        bytes: BYTES.get(),
    }
}

/// The most bytes that this thread held at once during an operation, beyond what it held before.
pub fn peak_during(operation: impl FnOnce()) -> i64 {
    let before = BYTES.get();
    PEAK.set(before);
    operation();
    PEAK.get() - before
}

/// A thread that is ending counts no more.
fn count(allocations: u64, bytes: i64) {
    let _ = ALLOCATIONS.try_with(|cell| cell.set(cell.get() + allocations));
    let held = BYTES.try_with(|cell| {
        cell.set(cell.get() + bytes);
        cell.get()
    });
    let held = held.unwrap_or(0);
    let _ = PEAK.try_with(|cell| cell.set(cell.get().max(held)));
}

// SAFETY: every call is handed to the system's allocator unchanged, and counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(0, -(layout.size() as i64));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(1, new_size as i64 - layout.size() as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(place, layout, new_size) }
    }
}
