"""Services of the operating system: folders, locks, processes, progress bars, memory, devices."""
