"""The networks of the pose/appearance model."""
