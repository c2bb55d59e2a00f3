"""The toolkit in a sealed container."""
