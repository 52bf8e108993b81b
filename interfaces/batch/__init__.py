"""Reviews of many repositories, on one machine or on Ray."""
