/** What mode iptables asks the kernel over netlink: packet counters, and whether anybody changed the rules. */
