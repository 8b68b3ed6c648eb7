"""What the operating system has to offer: locks, processes, progress bars, devices."""
