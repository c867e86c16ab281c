"""The report of an export: text, Markdown and HTML."""
