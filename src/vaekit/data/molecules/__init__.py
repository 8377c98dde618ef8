"""Molecules: SMILES from files, columns and lists, as rows of SELFIES or SMILES tokens."""
