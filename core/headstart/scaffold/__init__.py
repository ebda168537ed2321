"""The scaffold: a plugin package that installs, is listed and passes its tests from birth."""
