"""What is searched, by which objectives, which config comes next and which is chosen."""
