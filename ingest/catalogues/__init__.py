"""Reference catalogues: what authors publish, how it is kept by sky cell, and how it is asked."""
