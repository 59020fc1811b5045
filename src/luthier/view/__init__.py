"""Views: what a person sees while a study runs, live in a terminal, as plain lines, or nothing."""
