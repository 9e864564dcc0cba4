"""The command line: parsing in `command` and `data`, what verbs do beside them, and how a command ends in `entry`."""
