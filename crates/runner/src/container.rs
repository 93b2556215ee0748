//! Containers of a job: the one that its steps run in (`container`), those beside it (`services`), and Docker actions.
//! They are the Docker Engine's, asked through its `docker` program; whether jobs may use it is the operator's decision.
//!
//! Not here: what of them the language admits (crate `workflow`), how a program is started in one (crate `runtime`).
