"""Readers, one a source format: from the files that users have to the records of the corpus store."""
