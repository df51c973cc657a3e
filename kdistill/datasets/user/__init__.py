"""The user's own data: arrays, folders of images, tables."""
