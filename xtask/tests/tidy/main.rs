//! Style checks as tests: what the compiler and clippy do not see.

mod checkout;
mod image;
mod layout;
mod text;
