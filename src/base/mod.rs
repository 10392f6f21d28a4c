//! Floor 0: no domain, no I/O. Time, ids, timer wheel, rate window, chunk queue, counters, seeded random.
