//! Build, test and measure Plexus.

fn main() {}
