"""The command line: `main` holds the tree of verbs, `entry` how a command ends; one file for each kind of verbs."""
