//! The program, as people and scripts meet it.

mod calls;
mod fixture;
mod help;
mod lists;
mod signals;
