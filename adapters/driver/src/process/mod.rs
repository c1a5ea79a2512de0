//! Child processes: how they are started, signalled as a group, and never left behind.

mod census;
mod group;
mod guard;
mod launch;
mod mark;
mod spawner;
mod sweeper;

pub(crate) use self::{
    group::Group,
    launch::{Launch, LaunchError},
    mark::Mark,
    spawner::{Launched, Spawner},
};
