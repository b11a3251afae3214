"""The question families: each makes questions and answers, from the plain text or from the corpus store."""
