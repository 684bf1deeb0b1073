"""The commands: in each module the verbs of one noun, functions of a context and the parsed command line.

Each gives back the exit status. They are imported by name, only when they are run.
"""
