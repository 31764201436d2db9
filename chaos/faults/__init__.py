"""What can go wrong, by the numbers of the plan of faults; `catalogue` lists it."""
