"""What happens by itself: rollouts, pods, endpoints, garbage; and faults on purpose."""
