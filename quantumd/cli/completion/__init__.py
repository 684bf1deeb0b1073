"""Completion scripts for shells, made from the argparse tree so that they cannot fall behind it."""
