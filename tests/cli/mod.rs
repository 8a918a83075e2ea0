//! The command line as people use it: words in, words and exit codes out.

mod cases;
mod rotating;
mod shapes;
mod streams;
