"""headstart: transfer learning as composition. See `Recipe.load(...).run()` and `load(run).predict([...])`."""
