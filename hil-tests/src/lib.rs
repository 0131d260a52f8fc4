//! Simulated hospital and platform, fault scenarios, the demo, benches.
