//! The Python door of Rondel.
