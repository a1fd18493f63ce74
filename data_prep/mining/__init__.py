"""Rules that tag key frames by situation, on recorded tracks alone. docs/mining.md defines them."""
