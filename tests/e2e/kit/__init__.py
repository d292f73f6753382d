"""What the tests share: the server as a process, the things it talks to, and ways to look at the results."""
