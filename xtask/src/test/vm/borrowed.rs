//! Tests of other suites that also run in guests: what this machine's kernel may lack, and one of each kind whose outcome may
//! differ between kernels.

use crate::test::binary::TestBinary;

/// Test program, how the test's name begins, and why it is worth a guest's time.
const BORROWED: [(&str, &str, &str); 1] =
    [("netns_lab", "pings_streams_and_transfers", "the lab itself works in a guest")];

/// Whether any of its tests is borrowed.
pub(super) fn is_lender(binary: &TestBinary) -> bool {
    binary.is_integration && BORROWED.iter().any(|(program, ..)| *program == binary.name)
}

/// Whether this test of it is.
pub(super) fn is_borrowed(binary: &TestBinary, test: &str) -> bool {
    BORROWED.iter().any(|(program, begin, _)| *program == binary.name && test.starts_with(begin))
}
