"""Image files in and out, and pictures of predictions and labels."""
