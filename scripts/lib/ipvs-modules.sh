# shellcheck shell=bash
# The kernel modules of mode ipvs and of its tests, for every kind of machine. To be sourced.

# Most come by themselves when they are asked for; these are needed before, or have no alias to be found by.
ipvs_modules=(ip_vs ip_vs_rr ip_vs_wrr ip_vs_lc ip_vs_wlc ip_vs_sed ip_vs_nq ip_vs_sh ip_vs_dh ip_vs_lblc ip_vs_lblcr
  ip_vs_mh nf_conntrack nf_conntrack_netlink ip_set xt_set dummy veth bridge br_netfilter)

load_ipvs_modules() {
  modprobe -a -q "${ipvs_modules[@]}"
}
