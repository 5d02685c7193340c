//! Empty: capture-daemon's build script names this library so that cargo rebuilds the object when it changes.
#![no_std]
