"""Response models: what the API promises, apart from what is stored.

Every number carries its unit in its name and description. Integers that may exceed 2^53 are text, because JSON
readers in browsers would round them.
"""
