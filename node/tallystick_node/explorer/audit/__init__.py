"""What the explorer's server checks for a visitor. It is trusted with none of it: the page in the visitor's
browser and the shell check the same by themselves.
"""
