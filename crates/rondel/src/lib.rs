//! asyncio's model for Rust programs.
