"""From a volume to what the network says about it: region of interest, windows, network, decision."""
