"""What is only faster: without any file here everything works, slower."""
