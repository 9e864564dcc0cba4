"""Its place makes the helper modules in this folder importable from every test."""
