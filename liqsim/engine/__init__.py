"""From a checked description to integer sums: timeline, plan, batches on threads, estimates."""
