"""The commands of the runtime, one file a group: flags and nothing else."""
