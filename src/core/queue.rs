//! The devices' waiting packets: their memory, their order, and the choice of those that fill the next cell.
//!
//! [`Backlog`] joins two halves that do not know each other: `pool` stores the bytes, and [`FairQueue`] orders the
//! packets by their numbers. The virtual shapers of [`super::what_if`] use the same order without bytes, with a
//! [`Store`] of their own.

mod backlog;
mod cell_plan;
mod fair_queue;
mod flow;
mod flow_list;
mod flow_table;
mod heavy_devices;
mod packet;
mod pool;
#[cfg(test)]
pub mod testing;

pub use backlog::Backlog;
pub use cell_plan::CellPlan;
pub use fair_queue::FairQueue;
pub use flow::FlowId;
pub use packet::{Meta, NIL, PacketId, Store};
pub use pool::{CHUNK_BYTES, Cursor, chunks};
