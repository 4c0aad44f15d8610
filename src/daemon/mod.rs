//! The daemon: one thread, one epoll loop, both roles.

mod agenda;
mod json;
mod line;
mod watch;
mod wish;
