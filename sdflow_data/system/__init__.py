"""Services of the operating system: locks, processes, progress bars, devices."""
