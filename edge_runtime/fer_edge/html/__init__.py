"""Parts of HTML pages that hold everything themselves."""
