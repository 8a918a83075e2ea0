//! The command line as people use it: words in, words and exit codes out.

mod cases;
mod providing;
mod putting;
mod reloading;
mod rotating;
mod serving;
mod shapes;
mod streams;
mod waiting;
