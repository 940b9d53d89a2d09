"""A small Tidelog peer, written from docs/PROTOCOL.md. Section numbers in comments are that page's."""
