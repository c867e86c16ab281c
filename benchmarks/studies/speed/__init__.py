"""How fast, beside other packages and beside itself."""
