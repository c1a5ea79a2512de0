//! The program, as people and scripts meet it.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod help;
#[cfg(test)]
mod lists;
mod order;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod signals;
#[cfg(test)]
mod surroundings;
