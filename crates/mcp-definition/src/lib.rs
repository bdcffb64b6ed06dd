//! Service definition files: TOML to model and back, with errors that point into the file.
