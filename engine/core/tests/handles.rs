//! What must not compile, does not: each file under `handles/` is a program with the compiler's answer next to it.

#[test]
fn misuse_of_handles_does_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/handles/*.rs");
}
