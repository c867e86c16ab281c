"""Drawing a face: what moves for each expression, who it is, the strokes. `fer_edge.render` makes pictures of it."""
