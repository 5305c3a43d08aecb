//! Style checks as tests: what the compiler and clippy do not see.

mod checkout;
mod layout;
mod text;
