//! The program, as people and scripts meet it.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod help;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod signals;
#[cfg(test)]
mod supervised;
#[cfg(test)]
mod up;
