"""How often a policy is wrong: known truths are planted into a run's data, and the policy is asked."""
