"""What a process runs on: files, devices, processes, precision, progress and text."""
