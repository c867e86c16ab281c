"""How fast and how right a model is on this machine, stage by stage."""
