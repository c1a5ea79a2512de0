//! Child processes: how they are started, signalled as a group, and never left behind.

mod group;
mod guard;
mod launch;
mod spawner;

pub(crate) use self::{
    group::Group,
    launch::{Launch, LaunchError},
    spawner::{Launched, Spawner},
};
