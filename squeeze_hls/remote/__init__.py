"""Copying a build's ``deploy/`` to a board: ``send`` here, ``receive`` there, one ssh connection between them."""
