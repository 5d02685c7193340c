//! See the program.
