//! The shaping engine, sans-IO: no socket, no clock, no system randomness.
