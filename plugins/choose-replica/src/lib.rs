//! Chooses the replica to promote, with a reason for each candidate.
