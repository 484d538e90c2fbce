"""Copying a build's ``deploy/`` to a board: ``send`` here, ``receive`` there, one ssh connection between them."""

FOLDER = "/home/xilinx/jupyter_notebooks/squeeze_hls"  # below what Jupyter shows on PYNQ's images
USER = "xilinx"  # who logs in on PYNQ's images, and the password
