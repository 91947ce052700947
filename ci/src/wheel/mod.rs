//! Writes wheels: metadata, RECORD and the deterministic archive. Sees no other part of the pipeline.
