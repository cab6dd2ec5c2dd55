"""GMF, MLP and NeuMF, their initialisers and their files: torch, pure."""
