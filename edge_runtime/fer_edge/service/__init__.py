"""`fer-edge service`: a systemd unit that runs `fer-edge run` from boot on."""
