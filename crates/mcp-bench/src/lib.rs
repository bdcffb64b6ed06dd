//! Benchmarks that print medians and ratios.
