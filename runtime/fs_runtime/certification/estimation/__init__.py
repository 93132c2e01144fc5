"""From draws to the evidence of a bound: what the pilot fixes, and what the certifying draws measure."""
