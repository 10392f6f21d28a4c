//! Floor 4: file, environment and flags become one checked configuration.
