@kubectl-sluice __complete %*
