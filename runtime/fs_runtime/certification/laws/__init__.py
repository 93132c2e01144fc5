"""The bounds: what is certified at every shift, once the draws have bounded what they can. One file a theorem."""
