/** Settings of the host on which mode iptables depends. */
export const LIBERAL = 'net/netfilter/nf_conntrack_tcp_be_liberal';
export const ROUTE_LOCALNET = 'net/ipv4/conf/all/route_localnet';
