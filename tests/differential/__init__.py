"""Random models, read by the front end and by somebody else, and compared: see campaign.py."""
