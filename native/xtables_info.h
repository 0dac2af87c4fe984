// What the kernel says of an iptables-legacy table without handing out the table itself.
#ifndef PENSTOCK_XTABLES_INFO_H_
#define PENSTOCK_XTABLES_INFO_H_

#include <node_api.h>

namespace penstock {

// Adds xtablesInfo(family: 4 | 6, table: string): { entries, bytes } to the exports. Throws as getsockopt does:
// ENOENT when the table does not exist, ENOPROTOOPT when the kernel has no ip_tables.
bool DefineXtablesInfo(napi_env env, napi_value exports);

}  // namespace penstock

#endif  // PENSTOCK_XTABLES_INFO_H_
